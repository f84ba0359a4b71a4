// SPDX-License-Identifier: MIT OR Apache-2.0

//! Telling the user what goes on, and being told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::fetch::FetchError;

/// Receives what happens during downloads and imports. Methods are called from several threads.
pub trait Progress: Send + Sync {
    /// Downloads begin: so many files and bytes that are not there yet.
    fn begin(&self, _files: usize, _bytes: u64) {}
    /// A file is begun; `have` of its `size` bytes are there from an earlier attempt.
    fn file_started(&self, _name: &str, _size: u64, _have: u64) {}
    /// So many more bytes of a file have arrived.
    fn advanced(&self, _name: &str, _bytes: u64) {}
    /// What arrived of a file was of no use; it starts again from nothing.
    fn restarted(&self, _name: &str) {}
    /// A file is complete and its hash is right.
    fn file_finished(&self, _name: &str) {}
    /// All downloads are done.
    fn end(&self) {}
    /// A step that is not a download: `adding 12 files to the Nix store`.
    fn step(&self, _message: &str) {}
    /// Something that the user should know but that needs no action: a retry, waiting for another process.
    fn note(&self, _message: &str) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

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

    /// [`FetchError::Interrupted`] if the work should stop.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), FetchError> {
        if self.is_set() {
            Err(FetchError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits, but not longer than until the flag is set.
    ///
    /// # Errors
    /// [`FetchError::Interrupted`] if the work should stop.
    pub fn sleep(&self, duration: Duration) -> Result<(), FetchError> {
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
