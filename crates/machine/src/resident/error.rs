// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a machine that stays up does not do what it is asked.

use std::io;
use std::path::PathBuf;

/// Why a machine that stays up does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum ResidentError {
    /// A name that cannot be a directory's.
    #[error(
        "{0:?} is no name of a machine: expected 1 to 32 letters, digits, `.`, `_` or `-`, a letter or digit first"
    )]
    Name(String),
    /// There is none of this name.
    #[error("the machine {0} is not up; `cki-build machine start {0}` starts it")]
    Down(String),
    /// There is one, or another process is starting or stopping it.
    #[error("the machine {0} is up already, or just starting or stopping")]
    Up(String),
    /// It did not start.
    #[error("the machine {name} did not start: {why}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// It said no.
    #[error("the machine {name}: {why}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// It has gone, or says what we do not understand.
    #[error("the machine {name} {why}; its log is {log}")]
    Lost {
        /// Its name.
        name: String,
        /// "has gone", ...
        why: String,
        /// Where more may stand.
        log: PathBuf,
    },
    /// The system does not do what is needed.
    #[error("{what}: {source}")]
    System {
        /// "cannot lock ...".
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl ResidentError {
    /// Adds what was tried.
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
