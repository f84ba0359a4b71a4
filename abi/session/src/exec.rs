// SPDX-License-Identifier: MIT OR Apache-2.0

//! More processes in a container that runs.

use serde::{Deserialize, Serialize};

use crate::process::{Process, ProcessId};

/// Ports of a container's init, of the address family vsock, for those whose machine is its host.
///
/// A client opens a connection to [`STREAMS`](port::STREAMS) for each standard stream of the process, then one to
/// [`CONTROL`](port::CONTROL), where the messages of this crate go: `hello` comes first, then it may send
/// `exec`, `signal` and `resize`, and hears `started`, `refused`, `output` and `ended`. Its process ends with that
/// connection.
pub mod port {
    /// Messages.
    pub const CONTROL: u32 = 1024;
    /// Standard streams: nothing but their bytes. The end of file of standard input is a shutdown of the client's
    /// direction.
    pub const STREAMS: u32 = 1025;
}

/// A process to start beside the container's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Its name in every other message of this connection.
    pub id: ProcessId,
    /// What it executes.
    pub process: Process,
    /// Its standard streams.
    #[serde(default)]
    pub streams: StreamPorts,
}

/// The standard streams of a process, each by the port that the *host's* end of its connection has. One that is not
/// named is `/dev/null`. A process with a terminal has its errors come as output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamPorts {
    /// Standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<u32>,
    /// Standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<u32>,
    /// Standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<u32>,
}
