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

    /// What the status alone does not say, as a sentence for the user. `whose` ran out of memory, "container" or
    /// "machine"; `memory` is what that has, in the words of whoever reads this, if it is theirs to change.
    #[must_use]
    pub fn explanation(&self, whose: &str, memory: Option<&str>) -> Option<String> {
        let memory = memory.map_or_else(String::new, |memory| format!(" ({memory})"));
        match self {
            Self::Signaled {
                out_of_page_tables: true,
                ..
            } => Some(format!(
                "the {whose} ran out of page tables, for which a part of its memory{memory} is set aside"
            )),
            Self::Signaled {
                out_of_memory: true,
                ..
            } => Some(format!("the {whose} ran out of memory{memory}")),
            Self::Failed(failure) => Some(failure.message.clone()),
            Self::TimedOut => Some("the program reached its time limit and was ended".to_owned()),
            Self::Exited(_) | Self::Signaled { .. } => None,
        }
    }

    /// Whether more memory is the remedy.
    #[must_use]
    pub const fn is_out_of_memory(&self) -> bool {
        matches!(
            self,
            Self::Signaled {
                out_of_memory: true,
                ..
            } | Self::Signaled {
                out_of_page_tables: true,
                ..
            }
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_does_not_say_is_said() {
        let killed = |out_of_memory, out_of_page_tables| Outcome::Signaled {
            signal: Signal::KILL,
            out_of_memory,
            out_of_page_tables,
        };
        let failed = Outcome::Failed(Failure::new(FailureKind::Internal, "why"));
        for (outcome, part, more_memory_helps) in [
            (killed(true, false), "machine ran out of memory (64M)", true),
            (killed(true, true), "page tables", true),
            (killed(false, true), "its memory (64M)", true),
            (failed, "why", false),
            (Outcome::TimedOut, "time limit", false),
        ] {
            let text = outcome.explanation("machine", Some("64M")).unwrap();
            assert!(text.contains(part), "{text}");
            assert_eq!(outcome.is_out_of_memory(), more_memory_helps, "{text}");
        }
        // Of what is not theirs to change, nobody is told how much it is.
        let text = killed(true, false).explanation("container", None).unwrap();
        assert_eq!(text, "the container ran out of memory");
        for outcome in [Outcome::Exited(1), killed(false, false)] {
            assert_eq!(outcome.explanation("container", None), None);
            assert!(!outcome.is_out_of_memory());
        }
    }
}
