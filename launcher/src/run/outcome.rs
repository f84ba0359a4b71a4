//! How a run ended, and the status that tells it.

use std::io;

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
        /// 126 or 127.
        status: u8,
    },
    /// Its time was over.
    TimedOut,
    /// We got this signal.
    Interrupted(i32),
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
            Self::Exited(status) | Self::NotRun { status, .. } => *status,
            Self::Signaled { signal, .. } | Self::Interrupted(signal) => signaled(*signal),
            Self::TimedOut => 124,
            Self::BrokenPipe => signaled(libc::SIGPIPE),
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
    #[error("the container did not start the program within {seconds} s{}", with_console(.console))]
    Hangs {
        /// The limit.
        seconds: u64,
        /// Last lines of its console.
        console: String,
    },
    /// Init failed.
    #[error("init of the container: {message}{}", with_console(.console))]
    Init {
        /// Its sentence.
        message: String,
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
        assert_eq!(Outcome::Interrupted(2).status(), 130);
        assert_eq!(Outcome::TimedOut.status(), 124);
        assert_eq!(Outcome::BrokenPipe.status(), 141);
    }
}
