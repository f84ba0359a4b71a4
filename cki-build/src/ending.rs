// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a program ended, as `--json` has it. Standard output is the program's, so this goes to standard
//! error, as the last line.

use std::io::Write as _;

use cki_machine::Ended;
use cki_session::{Outcome, Status, printable};
use serde::Serialize;

/// How a program ended, or why there was none.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// Exit status of `cki-build`, 0..=255.
    status: u8,
    /// `exited`, `signaled`, `timed-out`; `failed` when there is no telling what the program did.
    outcome: &'static str,
    /// The signal that ended it, as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// Whether it was ended because memory ran out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    out_of_memory: bool,
    /// Whether that was memory for page tables, of which a container has a share of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    out_of_page_tables: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How isolated it was; not there for a program that was never started, or without a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<String>,
}

impl Ending {
    /// The ending of a session.
    #[must_use]
    pub fn of(ended: &Ended) -> Self {
        let isolation = ended.isolation.map(|isolation| isolation.to_string());
        let ending = Ending {
            status: ended.outcome.status().0,
            outcome: "exited",
            signal: None,
            out_of_memory: false,
            out_of_page_tables: false,
            error: None,
            isolation,
        };
        match &ended.outcome {
            Outcome::Exited(_) => ending,
            Outcome::Signaled {
                signal,
                out_of_memory,
                out_of_page_tables,
            } => Ending {
                outcome: "signaled",
                signal: Some(signal.number()),
                out_of_memory: *out_of_memory,
                out_of_page_tables: *out_of_page_tables,
                ..ending
            },
            Outcome::TimedOut => Ending {
                outcome: "timed-out",
                ..ending
            },
            Outcome::Failed(failure) => Ending {
                outcome: "failed",
                error: Some(printable(&failure.message)),
                ..ending
            },
        }
    }

    /// There was no program: we failed before.
    #[must_use]
    pub fn failed(status: Status, error: String) -> Self {
        Ending {
            status: status.0,
            outcome: "failed",
            signal: None,
            out_of_memory: false,
            out_of_page_tables: false,
            error: Some(printable(&error)),
            isolation: None,
        }
    }

    /// Writes it to standard error, in one line. Nobody may be reading; the status says the most of it, too.
    pub fn write(&self) {
        let line = serde_json::to_string(self).expect("numbers and strings can be written as JSON");
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_session::{Failure, FailureKind, Isolation, Signal};

    fn json(outcome: Outcome, isolation: Option<Isolation>) -> String {
        serde_json::to_string(&Ending::of(&Ended::at_once(outcome, isolation)))
            .expect("it is written")
    }

    #[test]
    fn what_a_container_has_said_tells_no_terminal_anything() {
        let failure = Failure::new(FailureKind::Internal, "a\u{9b}2J\u{1b}[m");
        let line = json(Outcome::Failed(failure), None);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.contains("a\u{fffd}2J"), "{line:?}");
    }

    #[test]
    fn every_ending_can_be_told_from_the_others() {
        assert_eq!(
            json(Outcome::Exited(7), Some(Isolation::Full)),
            r#"{"status":7,"outcome":"exited","isolation":"full (cki)"}"#
        );
        let oom = Outcome::Signaled {
            signal: Signal::KILL,
            out_of_memory: true,
            out_of_page_tables: false,
        };
        assert_eq!(
            json(oom, None),
            r#"{"status":137,"outcome":"signaled","signal":9,"out_of_memory":true}"#
        );
        let tables = Outcome::Signaled {
            signal: Signal::KILL,
            out_of_memory: true,
            out_of_page_tables: true,
        };
        assert_eq!(
            json(tables, None),
            r#"{"status":137,"outcome":"signaled","signal":9,"out_of_memory":true,"out_of_page_tables":true}"#
        );
        assert_eq!(
            json(Outcome::TimedOut, None),
            r#"{"status":124,"outcome":"timed-out"}"#
        );
        let failure = Failure::new(FailureKind::NotFound, "no such program: x");
        assert_eq!(
            json(Outcome::Failed(failure), None),
            r#"{"status":127,"outcome":"failed","error":"no such program: x"}"#
        );
    }
}
