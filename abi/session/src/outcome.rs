// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a program ended, for whoever asked for it.

use serde::{Deserialize, Serialize};

use crate::signal::Signal;
use crate::status::Status;

/// How a program ended, or why there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// By itself, with this status.
    Exited(u8),
    /// By a signal, wherever that came from: the program, its kernel, the user, or a reader that has gone.
    Signaled {
        /// Which.
        signal: Signal,
        /// Whether the kernel's out-of-memory killer sent it.
        out_of_memory: bool,
        /// Whether it did because there were no frames for page tables left, while there was memory.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        out_of_page_tables: bool,
    },
    /// The user's time for it was over. Clients keep that time, so no message has this.
    #[serde(skip)]
    TimedOut,
    /// It was not run, or it cannot be said how it ended.
    Failed(Failure),
}

impl Outcome {
    /// The end by `signal`.
    #[must_use]
    pub const fn signaled(signal: Signal) -> Self {
        Self::Signaled {
            signal,
            out_of_memory: false,
            out_of_page_tables: false,
        }
    }

    /// How a program that has ended like this is told to have, when its client ends the wait for what is left of its
    /// output: not as one whose output is all there.
    #[must_use]
    pub fn cut_by(&self, by: Self) -> Self {
        match self {
            Self::Exited(_) => by,
            last => last.clone(),
        }
    }

    /// Exit status of `cki-build run` and `cki run`.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Exited(status) => Status(*status),
            Self::Signaled { signal, .. } => Status::signaled(*signal),
            Self::TimedOut => Status::TIMEOUT,
            Self::Failed(failure) => failure.kind.status(),
        }
    }
}

/// Why a program was not run, or why it cannot be said how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// A sentence for the user, or several lines.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Failure { kind, message }
    }
}

/// What sort of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// There is no such program in the image.
    NotFound,
    /// The program exists but cannot be executed.
    NotExecutable,
    /// The application image is missing, truncated or no root file system.
    Image,
    /// What was asked for cannot be: no such working directory, a field that the server does not know.
    Request,
    /// Anything else: a mount, a message or a system call failed, or a kernel did.
    Internal,
}

impl FailureKind {
    /// Exit status for this failure.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::NotFound => Status::NOT_FOUND,
            Self::NotExecutable => Status::NOT_EXECUTABLE,
            Self::Image | Self::Request | Self::Internal => Status::FAILED,
        }
    }
}
