// SPDX-License-Identifier: MIT OR Apache-2.0

//! How much a server may say that passes on what a container says: its kernel may be an attacker's.

use crate::event::Event;
use crate::outcome::Outcome;
use crate::process::ProcessId;

/// Refusals that are passed on, at most.
pub const REFUSALS_MAX: usize = 16;
/// Bytes of a sentence of a container's that are passed on, at most.
pub const SENTENCE_SIZE: usize = 1024;
/// Bytes of a machine's or launcher's reason for a failure, with what its kernel printed, at most.
pub const FAILURE_SIZE: usize = 64 << 10;
/// Other events of a session, and, beside these, ends. One of each kind is the rule.
const EVENTS_MAX: usize = 16;

/// Counts what a server says in one session. Nothing that it says beyond its measure is kept, so that it can neither
/// fill its client's memory nor keep it from signals and time.
#[derive(Debug)]
pub struct Gate {
    refusals: usize,
    events: usize,
    ends: usize,
    failure_size: usize,
}

impl Gate {
    /// A gate for what a container says, of which a failure is a sentence.
    #[must_use]
    pub fn for_container() -> Self {
        Self {
            refusals: 0,
            events: 0,
            ends: 0,
            failure_size: SENTENCE_SIZE,
        }
    }

    /// A gate for what a machine says, or a launcher: it adds to a failure what its kernel printed.
    #[must_use]
    pub fn for_machine() -> Self {
        Self {
            failure_size: FAILURE_SIZE,
            ..Self::for_container()
        }
    }

    /// The event, with no more text than may be passed on; `None` if it is too much, or nothing that is known.
    pub fn pass(&mut self, mut event: Event) -> Option<Event> {
        let (count, most) = match &event {
            Event::Unknown => return None,
            Event::Refused { .. } => (&mut self.refusals, REFUSALS_MAX),
            // Whatever came before it, the end of what was asked for is heard.
            Event::Ended { id, .. } if *id == ProcessId::MAIN => (&mut self.ends, EVENTS_MAX),
            _ => (&mut self.events, EVENTS_MAX),
        };
        if *count >= most {
            return None;
        }
        *count += 1;
        match &mut event {
            Event::Refused { message } => cut(message, SENTENCE_SIZE),
            Event::Ended {
                outcome: Outcome::Failed(failure),
                ..
            } => cut(&mut failure.message, self.failure_size),
            _ => {}
        }
        Some(event)
    }
}

/// Leaves at most `size` bytes of `text`, whole characters.
pub fn cut(text: &mut String, size: usize) {
    let end = (0..=size.min(text.len())).rev();
    let end = end.into_iter().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, FailureKind, Hello, Isolation};

    #[test]
    fn a_server_that_talks_without_end_is_heard_in_measure() {
        let id = ProcessId::MAIN;
        let (mut gate, mut told, mut passed) = (Gate::for_container(), Vec::new(), 0);
        for _ in 0..1000 {
            let refused = Event::Refused {
                message: "é".repeat(1 << 10),
            };
            told.extend(gate.pass(refused));
            let started = Event::Started {
                id,
                pid: 2,
                isolation: Isolation::Full,
            };
            passed += usize::from(gate.pass(started).is_some());
            assert_eq!(gate.pass(Event::Unknown), None);
        }
        assert_eq!((told.len(), passed), (REFUSALS_MAX, EVENTS_MAX));
        let message = "é".repeat(SENTENCE_SIZE / 2);
        assert!(
            told.iter()
                .all(|event| matches!(event, Event::Refused { message: told } if *told == message))
        );
    }

    #[test]
    fn the_end_is_heard_after_nonsense_and_neither_is_heard_without_end() {
        let id = ProcessId::MAIN;
        let ended = || Event::Ended {
            id,
            outcome: Outcome::Exited(0),
        };
        let mut gate = Gate::for_machine();
        let hello = || Event::Hello(Hello::new(&[], "6.12"));
        let (mut ends, mut hellos) = (0, 0);
        for round in 0..1000 {
            // Of one kind and the other, in any order.
            for kind in 0..round % 7 {
                match kind % 2 {
                    0 => hellos += usize::from(gate.pass(hello()).is_some()),
                    _ => ends += usize::from(gate.pass(ended()).is_some()),
                }
            }
        }
        assert_eq!((hellos, ends), (EVENTS_MAX, EVENTS_MAX));
        let mut gate = Gate::for_machine();
        for _ in 0..1000 {
            let _ = gate.pass(hello());
            let _ = gate.pass(Event::Ended {
                id: ProcessId(9),
                outcome: Outcome::Exited(0),
            });
        }
        assert!(gate.pass(ended()).is_some());
    }

    #[test]
    fn a_failure_of_a_container_is_a_sentence_and_that_of_a_machine_is_whole() {
        let failed = || Event::Ended {
            id: ProcessId::MAIN,
            outcome: Outcome::Failed(Failure::new(FailureKind::Internal, "x".repeat(5000))),
        };
        for (mut gate, size) in [
            (Gate::for_container(), SENTENCE_SIZE),
            (Gate::for_machine(), 5000),
        ] {
            let Some(Event::Ended {
                outcome: Outcome::Failed(failure),
                ..
            }) = gate.pass(failed())
            else {
                panic!("no failure");
            };
            assert_eq!(failure.message.len(), size);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let cut = |size| {
            let mut text = "a\u{e9}b".to_owned();
            cut(&mut text, size);
            text
        };
        assert_eq!(
            (cut(9).as_str(), cut(2).as_str(), cut(3).as_str()),
            ("a\u{e9}b", "a", "a\u{e9}")
        );
    }
}
