// SPDX-License-Identifier: MIT OR Apache-2.0

//! How much of the program's output has come, of how much there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts the bytes of a stream. Shared by the thread that relays them and the session.
#[derive(Debug, Clone)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    relayed: AtomicU64,
    /// What is known to come; more than anything until it is known.
    expected: AtomicU64,
    /// Whether a piece is being handed on.
    busy: AtomicBool,
}

impl Default for Meter {
    fn default() -> Self {
        Self(Arc::new(Counts {
            relayed: AtomicU64::new(0),
            expected: AtomicU64::new(u64::MAX),
            busy: AtomicBool::new(false),
        }))
    }
}

impl Meter {
    /// A piece has come, and is handed on.
    pub(crate) fn begin(&self) {
        self.0.busy.store(true, Ordering::SeqCst);
    }

    /// That piece, of so many bytes, was taken; whether it was the last of those that are expected.
    pub(crate) fn add(&self, bytes: usize) -> bool {
        self.0.relayed.fetch_add(bytes as u64, Ordering::SeqCst);
        self.0.busy.store(false, Ordering::SeqCst);
        self.is_complete()
    }

    /// No more will be relayed, whatever is expected.
    pub(crate) fn end(&self) {
        self.0.relayed.store(u64::MAX, Ordering::SeqCst);
        self.0.busy.store(false, Ordering::SeqCst);
    }

    /// So many bytes are there in all.
    pub(crate) fn expect(&self, bytes: u64) {
        self.0.expected.store(bytes, Ordering::SeqCst);
    }

    /// Whether all that is expected was relayed.
    pub(crate) fn is_complete(&self) -> bool {
        self.relayed() >= self.0.expected.load(Ordering::SeqCst)
    }

    /// How many bytes were relayed.
    pub(crate) fn relayed(&self) -> u64 {
        self.0.relayed.load(Ordering::SeqCst)
    }

    /// Whether it is waited for whoever reads what was relayed.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.busy.load(Ordering::SeqCst)
    }
}

/// All output of a program.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Standard output.
    pub stdout: Meter,
    /// Standard error.
    pub stderr: Meter,
}

impl Output {
    /// So much of each is there in all.
    pub(crate) fn expect(&self, stdout: u64, stderr: u64) {
        self.stdout.expect(stdout);
        self.stderr.expect(stderr);
    }

    /// Whether all that is expected has come.
    pub(crate) fn is_complete(&self) -> bool {
        self.stdout.is_complete() && self.stderr.is_complete()
    }

    /// How many bytes have come.
    pub(crate) fn relayed(&self) -> u64 {
        self.stdout.relayed().wrapping_add(self.stderr.relayed())
    }

    /// Whether it is our reader that is waited for.
    pub(crate) fn is_read_slowly(&self) -> bool {
        self.stdout.is_busy() || self.stderr.is_busy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_complete_when_what_was_announced_has_come_in_either_order() {
        let meter = Meter::default();
        meter.begin();
        assert!(meter.is_busy());
        assert!(!meter.add(5));
        assert!(!meter.is_busy());
        meter.expect(7);
        assert!(!meter.is_complete());
        assert!(meter.add(2));
        let late = Meter::default();
        late.add(3);
        late.expect(3);
        assert!(late.is_complete());
        let broken = Meter::default();
        broken.expect(9);
        broken.end();
        assert!(broken.is_complete());
    }
}
