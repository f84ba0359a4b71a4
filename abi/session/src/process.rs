// SPDX-License-Identifier: MIT OR Apache-2.0

//! A process, as a request names it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::invalid::Invalid;
use crate::limit::Limit;
use crate::terminal::Terminal;
use crate::user::User;

/// Optional parts of a process, by the names that `hello` lists.
pub(crate) mod feature {
    /// [`Process::capabilities`](super::Process::capabilities).
    pub const CAPABILITIES: &str = "capabilities";
    /// [`Process::ulimits`](super::Process::ulimits).
    pub const ULIMITS: &str = "ulimits";
    /// [`Process::terminal`](super::Process::terminal) and the request `resize`.
    pub const TERMINAL: &str = "terminal";
    /// [`Process::user`](super::Process::user).
    pub const USER: &str = "user";
}

/// A process of a session. The client chooses the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessId(pub u32);

impl ProcessId {
    /// The program that [`Run`](crate::Run) starts, unless its client has reasons for another number.
    pub const MAIN: ProcessId = ProcessId(1);
}

impl fmt::Display for ProcessId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
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
    /// Absolute path of the working directory in the image; `/` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Whom it runs as; root without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Its terminal: it is the leader of a session that has it as its controlling one, and all three standard
    /// streams are the terminal. Output comes as standard output. Without one, they are pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
    /// Limits other than the kernel's own; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Limit>,
    /// Which capabilities it does not have.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
}

impl Process {
    /// A program with no more than init's variables, in `/`, as root, without a terminal.
    #[must_use]
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Process {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            workdir: None,
            user: None,
            terminal: None,
            ulimits: Vec::new(),
            capabilities: Capabilities::default(),
        }
    }

    /// This process as it is beside `program` in a container: what is not said of it is as for `program`.
    #[must_use]
    pub fn beside(mut self, program: &Process) -> Self {
        self.user = self.user.or_else(|| program.user.clone());
        self.workdir = self.workdir.or_else(|| program.workdir.clone());
        self.env.splice(..0, program.env.iter().cloned());
        self.ulimits.splice(..0, program.ulimits.iter().copied());
        self.capabilities = program.capabilities.with(&self.capabilities);
        self
    }

    /// The optional parts that there are, and whether this process uses them.
    pub(crate) fn uses(&self) -> [(&'static str, bool); 4] {
        [
            (feature::CAPABILITIES, !self.capabilities.is_empty()),
            (feature::ULIMITS, !self.ulimits.is_empty()),
            (feature::TERMINAL, self.terminal.is_some()),
            (feature::USER, self.user.is_some()),
        ]
    }

    /// Whether it can be executed anywhere.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn check(&self) -> Result<(), Invalid> {
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
        match &self.workdir {
            Some(workdir) if !workdir.starts_with('/') => {
                Err(Invalid::WorkingDirectory(workdir.clone()))
            }
            Some(workdir) if workdir.contains('\0') => Err(Invalid::Nul("the working directory")),
            _ => Ok(()),
        }
    }
}
