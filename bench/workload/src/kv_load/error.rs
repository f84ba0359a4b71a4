// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why there is no result.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::protocol::Strange;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum Error {
    /// No connection to the server.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// The connection broke.
    #[error("the connection failed: {0}")]
    Connection(io::Error),
    /// The server ended it.
    #[error("the server closed the connection")]
    Closed,
    /// It answers nothing.
    #[error("the server did not answer for {} s", .0.as_secs())]
    Silent(Duration),
    /// Something else is there.
    #[error("what came is no reply of this protocol")]
    Strange,
    /// It says no.
    #[error("the server refused: {0}")]
    Refused(String),
    /// It gave another value than was stored.
    #[error("the result is wrong: the value of key {0} is another one than was stored")]
    Value(u64),
}

impl From<Strange> for Error {
    fn from(Strange: Strange) -> Self {
        Self::Strange
    }
}
