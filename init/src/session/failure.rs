// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a session, or a machine that serves several, gets no further.

use std::io;

use cki_session::{FailureKind, Invalid};

use crate::channel::ChannelError;
use crate::program::ProgramStartError;
use crate::system::image::ImageDiskError;
use crate::system::mounts::MountError;
use crate::system::net::NetError;
use crate::system::ports::PortError;
use crate::system::root::PrepareRootError;
use crate::system::runtime::RuntimeError;

/// Why a session did not get as far as the program's end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The application image.
    #[error(transparent)]
    Image(#[from] ImageDiskError),
    /// The program.
    #[error(transparent)]
    Program(#[from] ProgramStartError),
    /// A request that nobody can carry out.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A request that init does not carry out.
    #[error("{0}")]
    Refused(String),
    /// A file system of the kernel in the image.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What the client wants done to the root file system.
    #[error(transparent)]
    Root(#[from] PrepareRootError),
    /// The network card.
    #[error(transparent)]
    Net(#[from] NetError),
    /// What containers are run with.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A disk of the user's, and what became of it.
    #[error("{0}")]
    Disks(String),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The client's end of the control port.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Anything else, with what was tried.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl ServeError {
    /// How the client is to understand it.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Image(_) => FailureKind::Image,
            Self::Program(error) => error.kind(),
            Self::Invalid(_) | Self::Refused(_) | Self::Root(_) => FailureKind::Request,
            _ => FailureKind::Internal,
        }
    }

    /// Whether it is only that the client has gone.
    #[must_use]
    pub fn is_end_of_client(&self) -> bool {
        let Self::Channel(error) = self else {
            return false;
        };
        matches!(error, ChannelError::Closed | ChannelError::Io(_))
    }

    /// Adds what was tried.
    pub fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
