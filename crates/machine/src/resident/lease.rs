// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a client has of a machine that stays up.

use std::os::unix::net::UnixStream;

use crate::ports::Ports;

/// A place of a machine that stays up, ours until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pub(crate) connection: UnixStream,
    pub(crate) ports: Ports,
    /// Serial number of the disk that was asked for.
    pub serial: Option<String>,
    /// What the machine calls the volumes, in their order ([`cki_session::Volume::name`]).
    pub volumes: Vec<String>,
    /// The emulator's process.
    pub(crate) emulator: u32,
    /// No other lease of the machine, for as long as it is up, has this number.
    pub number: u64,
}
