// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as bytes: JSON objects, one a line, UTF-8, each ended by `\n`.
//!
//! [`Outgoing`] keeps those that the other side has not read yet, [`Incoming`] makes messages of what it says. Both
//! only hold bytes: who waits, and for what, is the programs' own business.

mod incoming;
mod outgoing;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gate::{SENTENCE_SIZE, cut};
pub use incoming::{Arrived, Heard, Incoming};
pub use outgoing::{NotQueued, Outgoing, QUEUE_MAX};

/// Longest line of the protocol in bytes, its `\n` included (1 MiB). Linux lets argv and the
/// environment together be larger, but nobody types that, and a bound keeps a broken peer from
/// making the other side allocate without end.
pub const MAX_LINE: usize = 1 << 20;

/// Why a line is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The line is longer than [`MAX_LINE`].
    #[error("a message of more than {MAX_LINE} bytes")]
    TooLong,
    /// It is JSON, but not a message that this version knows: a field or a type is unknown or missing, or
    /// a value cannot be.
    #[error("a message that is not understood here: {0}")]
    NotUnderstood(Why),
    /// It is no JSON, so the other side does not speak this protocol at all.
    #[error("no message at all: {0}")]
    Malformed(Why),
}

/// What is wrong with a message: one line, and not all of what the other side has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why(String);

impl From<serde_json::Error> for Why {
    fn from(error: serde_json::Error) -> Self {
        let mut text = error.to_string();
        cut(&mut text, SENTENCE_SIZE);
        Self(text.replace(char::is_control, " "))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `message` as a line of the protocol, `\n` included.
///
/// # Errors
/// [`ProtocolError::TooLong`] when it does not fit [`MAX_LINE`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, ProtocolError> {
    let mut line =
        serde_json::to_vec(message).map_err(|error| ProtocolError::NotUnderstood(error.into()))?;
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(ProtocolError::TooLong);
    }
    Ok(line)
}

/// The message in `line`, with or without its `\n`.
///
/// # Errors
/// [`ProtocolError`] for anything but one message of type `M`.
pub fn decode<M: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<M, ProtocolError> {
    if line.len() > MAX_LINE {
        return Err(ProtocolError::TooLong);
    }
    serde_json::from_slice(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ProtocolError::NotUnderstood(error.into()),
        _ => ProtocolError::Malformed(error.into()),
    })
}
