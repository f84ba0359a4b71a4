// SPDX-License-Identifier: MIT OR Apache-2.0

//! How much a machine may say: it passes on what a container says, whose kernel may be an attacker's.

use cki_session::Event;

/// Refusals that the user is told, at most.
const REFUSALS_MAX: usize = 16;
/// Bytes of each that the user is told.
const REFUSAL_SIZE: usize = 1024;
/// Other events of a session. One of each kind is the rule.
const EVENTS_MAX: usize = 16;

/// Counts what a machine says. Nothing that it says beyond its measure is kept, so that it can neither fill our memory
/// nor keep the session from signals and time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    refusals: usize,
    events: usize,
}

impl Gate {
    /// The event for the session, unless it is a refusal, which goes to `refused`, or too much.
    pub(crate) fn pass(&mut self, event: Event, refused: impl FnOnce(&str)) -> Option<Event> {
        match event {
            Event::Unknown => None,
            Event::Refused { message } => {
                self.refusals += 1;
                if self.refusals <= REFUSALS_MAX {
                    refused(beginning(&message, REFUSAL_SIZE));
                }
                None
            }
            // The end is worth more than what came before it.
            event => {
                self.events += 1;
                let most = match event {
                    Event::Ended { .. } => 2 * EVENTS_MAX,
                    _ => EVENTS_MAX,
                };
                (self.events <= most).then_some(event)
            }
        }
    }
}

/// The beginning of `text`, of so many bytes at most.
fn beginning(text: &str, most: usize) -> &str {
    let end = text.len().min(most);
    let end = (0..=end).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_session::{Isolation, Outcome, ProcessId};

    #[test]
    fn a_machine_that_talks_without_end_is_heard_in_measure() {
        let id = ProcessId::MAIN;
        let (mut gate, mut told, mut passed) = (Gate::default(), Vec::new(), 0);
        for _ in 0..1000 {
            let refused = Event::Refused {
                message: "é".repeat(1 << 10),
            };
            assert_eq!(gate.pass(refused, |text| told.push(text.to_owned())), None);
            let started = Event::Started {
                id,
                pid: 2,
                isolation: Isolation::Full,
            };
            passed += usize::from(gate.pass(started, |_| ()).is_some());
            assert_eq!(gate.pass(Event::Unknown, |_| ()), None);
        }
        assert_eq!((told.len(), passed), (REFUSALS_MAX, EVENTS_MAX));
        assert!(told.iter().all(|text| text.len() == REFUSAL_SIZE));
    }

    #[test]
    fn the_end_is_heard_after_some_nonsense() {
        let id = ProcessId::MAIN;
        let ended = Event::Ended {
            id,
            outcome: Outcome::Exited(0),
        };
        let mut gate = Gate::default();
        for _ in 0..EVENTS_MAX {
            let hello = Event::Hello(cki_session::Hello::new(&[], "6.12"));
            assert!(gate.pass(hello, |_| ()).is_some());
        }
        assert!(gate.pass(ended, |_| ()).is_some());
    }
}
