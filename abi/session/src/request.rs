// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a client asks for.

use serde::{Deserialize, Serialize};

use crate::container_name::ContainerName;
use crate::disk::Disk;
use crate::exec::Exec;
use crate::interface::{Interface, consists_as_a_host_name};
use crate::invalid::Invalid;
use crate::memory::Memory;
use crate::network::Network;
use crate::process::{Process, ProcessId};
use crate::root::Root;
use crate::serve::Serve;
use crate::signal::Signal;
use crate::terminal::Terminal;
use crate::volume::Volume;

/// Optional parts of a request, by the names that `hello` lists.
pub mod feature {
    pub use crate::process::feature::{CAPABILITIES, TERMINAL, ULIMITS, USER};

    /// More processes in a container that runs: [`Run::exec`](super::Run::exec), or the request
    /// [`Exec`](super::Request::Exec) on a connection to the container's init; a server lists it where it takes that.
    pub const EXEC: &str = "exec";
    /// [`Run::container`](super::Run::container).
    pub const CONTAINER: &str = "container";
    /// [`Request::Clock`](super::Request::Clock).
    pub const CLOCK: &str = "clock";
    /// [`Container::disks`](super::Container::disks).
    pub const DISKS: &str = "disks";
    /// [`Run::interface`](super::Run::interface).
    pub const INTERFACE: &str = "interface";
    /// [`Run::image_disk`](super::Run::image_disk).
    pub const IMAGE_DISK: &str = "image-disk";
    /// [`Container::name`](super::Container::name).
    pub const NAME: &str = "name";
    /// [`Container::network`](super::Container::network).
    pub const NETWORK: &str = "network";
    /// [`Container::page_tables`](super::Container::page_tables).
    pub const PAGE_TABLES: &str = "page-tables";
    /// [`Run::pool`](super::Run::pool).
    pub const POOL: &str = "pool";
    /// [`Disk::rates`](super::Disk::rates) and [`Network::rates`](super::Network::rates).
    pub const RATES: &str = "rates";
    /// [`Run::root`](super::Run::root).
    pub const ROOT: &str = "root";
    /// [`Root::volumes`](super::Root::volumes).
    pub const VOLUMES: &str = "volumes";
}

/// What a client says to its server. Fields that the server does not know are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Set the clock of the machine, which is the client's own: an emulated one knows the time by whole seconds only.
    /// The only one that may come before the first, from a client that has seen the feature `clock`.
    Clock {
        /// What time it is where the client runs, as it sends this: nanoseconds since 1970 (UTC).
        now_ns: u64,
    },
    /// Start the program; the first request, sent once.
    Run(Box<Run>),
    /// Send a signal to the program (to its process group). Before it runs, it waits for that; but a process that is
    /// to start beside a program ([`Run::exec`]) is not waited for once it got one [that ends
    /// programs](Signal::is_ending): it has ended by that.
    Signal {
        /// Which program.
        id: ProcessId,
        /// Which signal.
        signal: Signal,
    },
    /// Start another process in a container that runs.
    Exec(Box<Exec>),
    /// Set up a machine that stays up, and serve; the first request to one, sent once.
    Serve(Box<Serve>),
    /// End such a machine. Programs that run get SIGTERM, and a little time.
    Stop {
        /// The time that they have, in milliseconds.
        grace_ms: u32,
    },
    /// The user's terminal has another size now, and so has that of the program.
    Resize {
        /// Which program.
        id: ProcessId,
        /// The new size.
        terminal: Terminal,
    },
}

/// A program to run, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The process's name in every other message.
    pub id: ProcessId,
    /// What it executes.
    pub process: Process,
    /// Host name of the machine or container, 1 to 64 (`HOST_NAME_MAX`) letters, digits, `-`, `.` and `_`;
    /// [`Run::HOSTNAME`] if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The container to run it in; without one, it is a process of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The name of a container that runs already: the process is started in it, beside its program, and what the
    /// request does not say of the process is as for that program ([`Process::beside`]). Not together with anything
    /// that a container or machine is made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ContainerName>,
    /// Memory that the machine keeps for containers of the program's own: it finds `/dev/cki` and the
    /// command `cki` then. Not together with `container`, which has all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Memory>,
    /// What is done to its root file system.
    #[serde(default, skip_serializing_if = "Root::is_empty")]
    pub root: Root,
    /// The network card of the server's own machine or container; that of `container` is its launcher's
    /// business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// Serial number of the disk with the application image, on a machine that has several;
    /// [`APP_SERIAL`](crate::APP_SERIAL) if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_disk: Option<String>,
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
    /// What its network card is connected to; without it, it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// The name under which `cki exec`, `cki list` and `cki kill` find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// Its disks besides that of its image, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Of its memory, what is set aside for page tables; without it, the launcher chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_tables: Option<Memory>,
}

impl Container {
    /// The least memory: its kernel and init take 45 MiB of it.
    pub const LEAST_MEMORY: Memory = Memory::constant(64);

    /// What a container gets when nothing is said, of whatever program that starts it.
    pub const DEFAULT_MEMORY: Memory = Memory::constant(1024);

    /// A container that is told nothing more and shows nothing.
    #[must_use]
    pub const fn new(memory: Memory) -> Self {
        Container {
            memory,
            cmdline: String::new(),
            verbose: false,
            network: None,
            name: None,
            disks: Vec::new(),
            page_tables: None,
        }
    }
}

/// The first optional part that is used, and that a server with `features` does not honour.
pub(crate) fn first_missing<S: AsRef<str>>(
    uses: impl IntoIterator<Item = (&'static str, bool)>,
    features: &[S],
) -> Option<&'static str> {
    let honoured = |name: &str| features.iter().any(|feature| feature.as_ref() == name);
    uses.into_iter()
        .find(|&(name, used)| used && !honoured(name))
        .map(|(name, _)| name)
}

impl Run {
    /// The name of a machine or container when nothing is said.
    pub const HOSTNAME: &str = "cki";

    /// A program with no more than init's variables, in `/`, of a machine called `cki`.
    #[must_use]
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Run {
            id: ProcessId::MAIN,
            process: Process::new(argv),
            hostname: None,
            container: None,
            exec: None,
            pool: None,
            root: Root::default(),
            interface: None,
            image_disk: None,
        }
    }

    /// The first optional part that this request uses and a server with `features` does not honour.
    #[must_use]
    pub fn unsupported<S: AsRef<str>>(&self, features: &[S]) -> Option<&'static str> {
        let container = self.container.as_ref();
        let network = container.and_then(|container| container.network.as_ref());
        let is_limited = |container: &Container| {
            let network = container.network.as_ref();
            network.is_some_and(|network| !network.rates.is_empty())
                || container.disks.iter().any(|disk| !disk.rates.is_empty())
        };
        let uses = [
            (feature::CONTAINER, self.container.is_some()),
            (feature::EXEC, self.exec.is_some()),
            (feature::POOL, self.pool.is_some()),
            (feature::ROOT, !self.root.is_empty()),
            (feature::INTERFACE, self.interface.is_some()),
            (feature::IMAGE_DISK, self.image_disk.is_some()),
            (
                feature::NAME,
                container.is_some_and(|container| container.name.is_some()),
            ),
            (feature::NETWORK, network.is_some()),
            (
                feature::DISKS,
                container.is_some_and(|container| !container.disks.is_empty()),
            ),
            (
                feature::PAGE_TABLES,
                container.is_some_and(|container| container.page_tables.is_some()),
            ),
            (feature::RATES, container.is_some_and(is_limited)),
            (feature::VOLUMES, !self.root.volumes.is_empty()),
        ];
        first_missing(uses.into_iter().chain(self.process.uses()), features)
    }

    /// The first thing in this request that a container or machine is made with.
    fn makes(&self) -> Option<&'static str> {
        // All fields, so that one that is new is thought of.
        let Run {
            id: _,
            process: _,
            exec: _,
            hostname,
            container,
            pool,
            root,
            interface,
            image_disk,
        } = self;
        let made = [
            ("hostname", hostname.is_some()),
            ("container", container.is_some()),
            ("pool", pool.is_some()),
            ("root", !root.is_empty()),
            ("interface", interface.is_some()),
            ("image_disk", image_disk.is_some()),
        ];
        let (name, _) = made.into_iter().find(|(_, is_made)| *is_made)?;
        Some(name)
    }

    /// Whether a machine or container can have the host name, which stands in its `/etc/hosts`.
    ///
    /// # Errors
    /// [`Invalid::HostName`].
    pub fn check_host_name(name: &str) -> Result<(), Invalid> {
        match (1..=64).contains(&name.len()) && consists_as_a_host_name(name) {
            true => Ok(()),
            false => Err(Invalid::HostName(name.to_owned())),
        }
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
        if let (Some(_), Some(name)) = (&self.exec, self.makes()) {
            return Err(Invalid::ExecAnd(name));
        }
        if let Some(name) = &self.hostname {
            Self::check_host_name(name)?;
        }
        if let Some(container) = &self.container {
            container.check()?;
        }
        if let Some(interface) = &self.interface {
            interface.check()?;
        }
        Volume::check_all(&self.root.volumes)?;
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
            return Err(Invalid::Memory {
                memory: self.memory,
                least: Self::LEAST_MEMORY,
            });
        }
        if self.memory > Memory::CONTAINER_MAX {
            return Err(Invalid::TooMuchMemory {
                memory: self.memory,
                most: Memory::CONTAINER_MAX,
            });
        }
        if self.cmdline.contains('\0') {
            return Err(Invalid::Nul("the kernel's command line"));
        }
        if let Some(network) = &self.network {
            network.check()?;
        }
        Disk::check_all(&self.disks)?;
        Ok(())
    }
}
