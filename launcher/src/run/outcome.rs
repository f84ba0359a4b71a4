// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a run ended, and the status and the message that tell it.

use std::io;

use cki_session::{FailureKind, GuestMessage};

/// How the program, or the container, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this status.
    Exited(u8),
    /// By a signal.
    Signaled {
        /// Linux signal number.
        signal: i32,
        /// The guest kernel's out-of-memory killer sent it.
        oom: bool,
    },
    /// It was never started; the sentence says why.
    NotRun {
        /// Init's sentence.
        message: String,
        /// Init's reason.
        kind: FailureKind,
    },
    /// Its time was over.
    TimedOut,
    /// We got a signal, and passed it on.
    Interrupted {
        /// Linux signal number.
        signal: i32,
        /// How the program ended then; `None` if its container had to be ended.
        program: Option<GuestMessage>,
    },
    /// Nobody reads its standard output any more.
    BrokenPipe,
}

impl Outcome {
    /// Status of a failure of the launcher or the container.
    pub const FAILURE: u8 = 125;

    /// Exit status of `cki run`.
    #[must_use]
    pub fn status(&self) -> u8 {
        let signaled = |signal: i32| (128 + (signal & 0x7f)) as u8;
        match self {
            Self::Exited(status) => *status,
            Self::NotRun { kind, .. } => kind.exit_status(),
            Self::Signaled { signal, .. } | Self::Interrupted { signal, .. } => signaled(*signal),
            Self::TimedOut => 124,
            Self::BrokenPipe => signaled(libc::SIGPIPE),
        }
    }

    /// The same for whoever started us (`--json-status-fd`): a last message.
    #[must_use]
    pub fn message(&self) -> GuestMessage {
        let signaled = |signal, oom| GuestMessage::Signaled { signal, oom };
        match self {
            Self::Exited(status) => GuestMessage::Exited {
                status: i32::from(*status),
            },
            Self::Signaled { signal, oom } => signaled(*signal, *oom),
            Self::NotRun { message, kind } => GuestMessage::Failed {
                message: message.clone(),
                kind: *kind,
            },
            Self::TimedOut => GuestMessage::Failed {
                message: "the program's time is over (--timeout)".to_owned(),
                kind: FailureKind::Internal,
            },
            Self::Interrupted { signal, program } => {
                program.clone().unwrap_or(signaled(*signal, false))
            }
            Self::BrokenPipe => signaled(libc::SIGPIPE, false),
        }
    }
}

/// A container that did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
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
    /// Init failed.
    #[error("init of the container: {message}{}", with_console(.console))]
    Init {
        /// Its sentence.
        message: String,
        /// Its reason.
        kind: FailureKind,
        /// Last lines of its console; empty if they would not help.
        console: String,
    },
    /// Init speaks another protocol.
    #[error("init of the container and this launcher do not fit together: {0}")]
    Protocol(String),
    /// The arguments are too long.
    #[error("the arguments and the environment together are {0}")]
    Request(String),
    /// Our standard output fails.
    #[error("cannot write standard output: {0}")]
    Output(io::ErrorKind),
    /// Something of the host's.
    #[error("{what}: {source}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl SessionError {
    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Init { kind, .. } => *kind,
            _ => FailureKind::Internal,
        }
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
    fn statuses_are_those_of_a_shell() {
        assert_eq!(Outcome::Exited(7).status(), 7);
        assert_eq!(
            Outcome::Signaled {
                signal: 9,
                oom: true
            }
            .status(),
            137
        );
        let interrupted = Outcome::Interrupted {
            signal: 2,
            program: Some(GuestMessage::Exited { status: 0 }),
        };
        assert_eq!(interrupted.status(), 130);
        let not_run = |kind| Outcome::NotRun {
            message: String::new(),
            kind,
        };
        assert_eq!(not_run(FailureKind::NotFound).status(), 127);
        assert_eq!(not_run(FailureKind::NotExecutable).status(), 126);
        assert_eq!(Outcome::TimedOut.status(), 124);
        assert_eq!(Outcome::BrokenPipe.status(), 141);
    }

    #[test]
    fn every_outcome_has_a_last_message() {
        let interrupted = |program| Outcome::Interrupted {
            signal: 15,
            program,
        };
        let signaled = |signal, oom| GuestMessage::Signaled { signal, oom };
        let exited = GuestMessage::Exited { status: 3 };
        let cases = [
            (Outcome::Exited(3), exited.clone()),
            (
                Outcome::Signaled {
                    signal: 9,
                    oom: true,
                },
                signaled(9, true),
            ),
            (interrupted(Some(exited.clone())), exited),
            (interrupted(None), signaled(15, false)),
            (Outcome::BrokenPipe, signaled(13, false)),
        ];
        for (outcome, message) in cases {
            assert_eq!(outcome.message(), message);
        }
        assert!(Outcome::TimedOut.message().is_last());
    }
}
