// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container that did not end as it should.

use std::io;

use cki_session::{Failure, FailureKind, Mismatch};

/// Why it cannot be said how the program ended.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The container ended too early.
    #[error("the container {how} {when}{}", with_console(.console))]
    Ended {
        /// As the end of "the container ...".
        how: String,
        /// When.
        when: &'static str,
        /// Last lines of its console.
        console: String,
    },
    /// It hangs.
    #[error(
        "the container did not start the program within {seconds} s (--start-timeout){}",
        with_console(.console)
    )]
    Hangs {
        /// The limit.
        seconds: f64,
        /// Last lines of its console.
        console: String,
    },
    /// Init breaks the rules of the protocol.
    #[error("init of the container and this launcher do not fit together: {0}")]
    Protocol(String),
    /// Init speaks another version of the protocol, or cannot do what is asked for.
    #[error("init of the container and this launcher do not fit together: {0}")]
    Mismatch(Mismatch),
    /// The arguments are too long.
    #[error("the arguments and the environment together are {0}")]
    Request(String),
    /// This stream of ours fails.
    #[error("cannot write {0}: {1}")]
    Output(&'static str, io::ErrorKind),
    /// The thread of a device ended.
    #[error("device {device} of the container cannot go on: {problem}")]
    Device {
        /// Number of its slot.
        device: u32,
        /// What went wrong.
        problem: String,
    },
    /// Something of the host's.
    #[error("{what}: {source}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl ContainerError {
    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Request(_) => FailureKind::Request,
            _ => FailureKind::Internal,
        }
    }
}

/// Something of the host's failed: what was tried.
pub(super) fn host(what: &'static str) -> impl Fn(io::Error) -> ContainerError {
    move |source| ContainerError::Host { what, source }
}

/// A failure that init of the container tells, with what its kernel printed where that can help.
pub(super) fn of_init(failure: Failure, console: &str) -> Failure {
    match failure.kind {
        FailureKind::Internal => Failure::new(
            failure.kind,
            format!(
                "init of the container: {}{}",
                failure.message,
                with_console(console)
            ),
        ),
        _ => failure,
    }
}

fn with_console(console: &str) -> String {
    if console.is_empty() {
        String::new()
    } else {
        format!("; the end of its console:\n{console}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_of_init_itself_comes_with_the_console() {
        let failure = |kind| Failure::new(kind, "no such thing");
        let text = of_init(failure(FailureKind::Internal), "last words").message;
        assert!(text.contains("no such thing") && text.ends_with("last words"));
        for kind in [
            FailureKind::NotFound,
            FailureKind::NotExecutable,
            FailureKind::Image,
            FailureKind::Request,
        ] {
            assert_eq!(of_init(failure(kind), "last words"), failure(kind));
        }
    }
}
