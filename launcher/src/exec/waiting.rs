// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a client has asked for and init of the container was not told yet: init has not said hello, or does not read.

use std::collections::VecDeque;

use cki_session::{Event, Outcome, ProcessId, Request, Signal, Terminal};

use crate::session::client::{Client, Wish};

/// Signals that wait, at most.
pub(super) const SIGNALS_MAX: usize = 64;

/// What waits. Of the sizes of a terminal only the newest counts; of signals each does, and one too many is refused.
#[derive(Debug, Default)]
pub struct Waiting {
    size: Option<Terminal>,
    signals: VecDeque<Signal>,
}

impl Waiting {
    /// Takes note of what `client` wants while there is no process; how it ends, if `client` wants the end.
    pub fn hear(&mut self, client: &mut dyn Client) -> Option<Outcome> {
        for wish in client.wishes(false) {
            match wish {
                Wish::End(outcome) => return Some(outcome),
                Wish::Signal(signal) => self.signal(signal, client),
                Wish::Resize(terminal) => self.resize(terminal),
            }
        }
        None
    }

    /// Adds a signal, or tells `client` that there is no room for it.
    pub(super) fn signal(&mut self, signal: Signal, client: &mut dyn Client) {
        if self.signals.len() < SIGNALS_MAX {
            self.signals.push_back(signal);
            return;
        }
        let message = format!(
            "signal {signal} is not passed on: init of the container has not taken {SIGNALS_MAX} before it"
        );
        client.tell(&Event::Refused { message });
    }

    /// Adds a size, in place of one that waits.
    pub(super) fn resize(&mut self, terminal: Terminal) {
        self.size = Some(terminal);
    }

    /// What init is told next: a size comes before signals, one of which may be about it.
    pub(super) fn next(&mut self) -> Option<Request> {
        let id = ProcessId::MAIN;
        let size = self.size.take();
        size.map(|terminal| Request::Resize { id, terminal })
            .or_else(|| {
                let signal = self.signals.pop_front()?;
                Some(Request::Signal { id, signal })
            })
    }
}
