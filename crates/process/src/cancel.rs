// SPDX-License-Identifier: MIT OR Apache-2.0

//! Being told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The work was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; the next run goes on where this one stopped")]
pub struct Interrupted;

/// A flag that stops work at the next opportunity; clones share it. Ctrl-C handlers set it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the work. May be called from a signal handler: it only stores to an atomic.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work should stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on unless the work should stop.
    ///
    /// # Errors
    /// [`Interrupted`] if it should.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_set() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits, but not longer than until the flag is set.
    ///
    /// # Errors
    /// [`Interrupted`] if the work should stop.
    pub fn sleep(&self, duration: Duration) -> Result<(), Interrupted> {
        let end = Instant::now() + duration;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_flag_and_a_pause_ends_with_it() {
        let cancel = Cancel::new();
        assert_eq!(cancel.sleep(Duration::from_millis(1)), Ok(()));
        let other = cancel.clone();
        let start = Instant::now();
        let waiting = thread::spawn(move || other.sleep(Duration::from_secs(60)));
        cancel.set();
        assert_eq!(waiting.join().expect("the thread ends"), Err(Interrupted));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
