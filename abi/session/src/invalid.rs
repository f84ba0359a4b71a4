// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests that nobody can carry out.

use crate::disk::DiskError;
use crate::interface::InterfaceError;
use crate::memory::Memory;
use crate::network::NetworkError;
use crate::volume::VolumeError;

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
    /// The kernel takes no such host name, or `/etc/hosts`.
    #[error("the host name {0:?} is not 1 to 64 letters, digits, `-`, `.` and `_`")]
    HostName(String),
    /// The container's kernel would not come up.
    #[error("a container takes at least {least}, not {memory}")]
    Memory {
        /// What was asked for.
        memory: Memory,
        /// The least.
        least: Memory,
    },
    /// More than the monitor keeps count of.
    #[error("a container takes at most {most}, not {memory}")]
    TooMuchMemory {
        /// What was asked for.
        memory: Memory,
        /// The most.
        most: Memory,
    },
    /// Both a container and a pool for containers.
    #[error("`container` and `pool` exclude each other: the container has all of the pool")]
    ContainerAndPool,
    /// A process for a container that runs, and something that a container is made with.
    #[error("`exec` and `{0}` exclude each other: the container is there already")]
    ExecAnd(&'static str),
    /// A machine that serves nobody, or more than it can.
    #[error("a machine serves 1 to {most} clients at a time, not {places}")]
    Places {
        /// What was asked for.
        places: u32,
        /// The most.
        most: u32,
    },
    /// A network card cannot be set up so.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// A container cannot have such disks.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no such network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A volume that cannot be mounted.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}
