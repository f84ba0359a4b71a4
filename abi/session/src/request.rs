// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a client asks for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::memory::Memory;
use crate::signal::Signal;

/// Optional parts of a request, by the names that `hello` lists.
pub mod feature {
    /// [`Run::container`](super::Run::container).
    pub const CONTAINER: &str = "container";
    /// [`Run::pool`](super::Run::pool).
    pub const POOL: &str = "pool";
}

/// What a client says to its server. Fields that the server does not know are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Start the program; the first request, sent once.
    Run(Run),
    /// Send a signal to the program (to its process group). Before it runs, it waits for that.
    Signal {
        /// Which program.
        id: ProcessId,
        /// Which signal.
        signal: Signal,
    },
}

/// A process of a session. The client chooses the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessId(pub u32);

impl ProcessId {
    /// The program that [`Run`] starts, unless its client has reasons for another number.
    pub const MAIN: ProcessId = ProcessId(1);
}

impl fmt::Display for ProcessId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// A program to run, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The process's name in every other message.
    pub id: ProcessId,
    /// What it executes.
    pub process: Process,
    /// Host name of the machine or container, 1 to 64 bytes (`HOST_NAME_MAX`).
    pub hostname: String,
    /// The container to run it in; without one, it is a process of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Memory that the machine keeps for containers of the program's own: it finds `/dev/cki` and the
    /// command `cki` then. Not together with `container`, which has all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Memory>,
}

/// What a process executes. Strings are UTF-8 because JSON is; a client refuses others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Program and arguments; never empty. A name without `/` is looked up in `PATH`
    /// (the one of `env` if it sets one).
    pub argv: Vec<String>,
    /// Variables to set, on top of init's defaults (`PATH`, `HOME`, `LANG`); later ones win.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Absolute path of the working directory in the image.
    pub workdir: String,
}

/// A container of a program's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Its memory.
    pub memory: Memory,
    /// Words for the command line of its kernel, after those of the launcher.
    #[serde(default)]
    pub cmdline: String,
    /// Whether its kernel's console goes to standard error.
    #[serde(default)]
    pub verbose: bool,
}

impl Container {
    /// The least memory: its kernel and init take 45 MiB of it.
    pub const LEAST_MEMORY: Memory = Memory::constant(64);

    /// A container that is told nothing more and shows nothing.
    #[must_use]
    pub const fn new(memory: Memory) -> Self {
        Container {
            memory,
            cmdline: String::new(),
            verbose: false,
        }
    }
}

/// Why a request can be carried out nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is no program.
    #[error("no program: argv is empty")]
    NoProgram,
    /// No system call takes a NUL byte.
    #[error("{0} has a NUL byte in it")]
    Nul(&'static str),
    /// A variable has no name, or a name that cannot be one.
    #[error("{0:?} cannot be the name of a variable")]
    Variable(String),
    /// The working directory is not absolute.
    #[error("the working directory {0:?} is not an absolute path")]
    WorkingDirectory(String),
    /// The kernel takes no such host name.
    #[error("the host name {0:?} is not 1 to 64 bytes long")]
    HostName(String),
    /// The container's kernel would not come up.
    #[error("a container takes at least {least}, not {0}", least = Container::LEAST_MEMORY)]
    Memory(Memory),
    /// Both a container and a pool for containers.
    #[error("`container` and `pool` exclude each other: the container has all of the pool")]
    ContainerAndPool,
}

impl Run {
    /// A program with no more than init's variables, in `/`, of a machine called `cki`.
    #[must_use]
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Run {
            id: ProcessId::MAIN,
            process: Process {
                argv: argv.into_iter().map(Into::into).collect(),
                env: Vec::new(),
                workdir: "/".to_owned(),
            },
            hostname: "cki".to_owned(),
            container: None,
            pool: None,
        }
    }

    /// The first optional part that this request uses and a server with `features` does not honour.
    #[must_use]
    pub fn unsupported<S: AsRef<str>>(&self, features: &[S]) -> Option<&'static str> {
        let uses = [
            (feature::CONTAINER, self.container.is_some()),
            (feature::POOL, self.pool.is_some()),
        ];
        let honoured = |name: &str| features.iter().any(|feature| feature.as_ref() == name);
        uses.into_iter()
            .find(|&(name, used)| used && !honoured(name))
            .map(|(name, _)| name)
    }

    /// Whether it can be carried out at all. Clients ask before they start anything, servers because
    /// they trust no client.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
        if self.container.is_some() && self.pool.is_some() {
            return Err(Invalid::ContainerAndPool);
        }
        let name = &self.hostname;
        if !(1..=64).contains(&name.len()) || name.contains('\0') {
            return Err(Invalid::HostName(name.clone()));
        }
        if let Some(container) = &self.container {
            container.check()?;
        }
        self.process.check()
    }
}

impl Container {
    /// As [`Run::check`], for a container without a program.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
        if self.memory < Self::LEAST_MEMORY {
            return Err(Invalid::Memory(self.memory));
        }
        if self.cmdline.contains('\0') {
            return Err(Invalid::Nul("the kernel's command line"));
        }
        Ok(())
    }
}

impl Process {
    fn check(&self) -> Result<(), Invalid> {
        if self.argv.is_empty() {
            return Err(Invalid::NoProgram);
        }
        if self.argv.iter().any(|word| word.contains('\0')) {
            return Err(Invalid::Nul("an argument"));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Invalid::Variable(name.clone()));
            }
            if value.contains('\0') {
                return Err(Invalid::Nul("the value of a variable"));
            }
        }
        if !self.workdir.starts_with('/') {
            return Err(Invalid::WorkingDirectory(self.workdir.clone()));
        }
        if self.workdir.contains('\0') {
            return Err(Invalid::Nul("the working directory"));
        }
        Ok(())
    }
}
