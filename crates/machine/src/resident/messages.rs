// SPDX-License-Identifier: MIT OR Apache-2.0

//! What clients and the supervisor of a machine say to each other: JSON, a message a line.

use std::path::PathBuf;

use cki_session::{Memory, Publish};
use serde::{Deserialize, Serialize};

use crate::app_disk::AppDisk;

/// The word that makes `cki-build` a supervisor. No command's.
pub(super) const SERVE: &str = "serve-machine";

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Ask {
    /// How the machine is.
    Status,
    /// A place, for as long as the connection is there.
    Lease {
        /// What for.
        wanted: Wanted,
        /// How many volumes its container has; the sockets of whoever serves them come with this message.
        volumes: usize,
    },
    /// End the machine. Programs get SIGTERM, and so much time. The connection ends when the supervisor has.
    Stop {
        /// In milliseconds.
        grace_ms: u32,
    },
}

/// What a place is wanted for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Memory of a container, which comes out of the machine's pool; without it, the program is the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Its application image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<AppDisk>,
    /// Ports of ours that lead to it, each with the machine's port as [`Publish::container`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Answer {
    /// How the machine is.
    Status(MachineStatus),
    /// A place; its four ports come with this message, in the order of [`cki_session::port::ALL`].
    Leased {
        /// Serial number of the disk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serial: Option<String>,
        /// What the machine calls the volumes, in the order of the sockets.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        volumes: Vec<String>,
        /// The emulator's process.
        emulator: u32,
        /// How many leases there have been, with this one.
        number: u64,
    },
    /// It is not done.
    Refused {
        /// Why.
        message: String,
    },
}

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// QEMU.
    pub qemu: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The disk with what containers are run with.
    pub runtime_disk: Option<PathBuf>,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// The supervisor's process.
    pub supervisor: u32,
    /// The emulator's process.
    pub emulator: u32,
    /// What it is made of.
    pub build: Build,
    /// Whether it has a network card.
    pub network: bool,
    /// Its processors.
    pub cpus: u32,
    /// Memory for all containers together, in MiB.
    pub pool_mib: u32,
    /// What of it no container has, in MiB.
    pub free_mib: u32,
    /// How many programs run at a time.
    pub places: u32,
    /// Places that are free.
    pub free_places: u32,
    /// How long it has been up, in seconds.
    pub up_s: u64,
}
