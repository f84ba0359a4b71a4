// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is asked of a server.

use std::time::Duration;

use super::keys::Keys;
use super::protocol::Protocol;

/// How long a server may say nothing, usually.
pub const SILENCE: Duration = Duration::from_secs(30);
/// What to ask.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How.
    pub protocol: Protocol,
    /// Connections.
    pub clients: u64,
    /// Requests that a connection may have on their way.
    pub pipeline: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Of what.
    pub keys: Keys,
    /// What keys and values are made from.
    pub seed: u64,
    /// Requests of each connection.
    pub requests: u64,
    /// After this time no more is asked.
    pub time: Option<Duration>,
    /// A server that says nothing for so long is taken for dead.
    pub silence: Duration,
}
