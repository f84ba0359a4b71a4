// SPDX-License-Identifier: MIT OR Apache-2.0

//! A process of which it cannot be said how it ended.

use std::io::{self, ErrorKind};

use cki_session::Mismatch;

use super::connect::ConnectError;
use super::control::ControlError;

/// It cannot be said how the process ended, or there was none.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Init says nothing more, or nonsense.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Init says nothing.
    #[error("its init does not say hello")]
    Silent,
    /// Init has said hello, and nothing since.
    #[error("its init neither starts the process nor says why not")]
    NotStarted,
    /// Init speaks another version of the protocol, or cannot do it.
    #[error(
        "its init, which is as it was when the container started, and this command do not fit together: {0}"
    )]
    Mismatch(#[from] Mismatch),
    /// Init does not do it.
    #[error("its init refused: {0}")]
    Refused(String),
    /// This stream of ours takes nothing more.
    #[error("cannot write to {0}: {1}")]
    Output(&'static str, ErrorKind),
    /// Output of the process has not come: the container has taken it with it, or its devices took longer than two
    /// seconds.
    #[error(
        "not all of the process's output has come; if the container ended meanwhile, it is lost"
    )]
    Lost,
    /// A system call failed.
    #[error("cannot serve the streams")]
    System(#[from] io::Error),
}
