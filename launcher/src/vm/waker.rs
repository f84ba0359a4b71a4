// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waking a thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that becomes readable when another thread has something to look at.
#[derive(Debug, Clone)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// A waker that nobody has woken.
    ///
    /// # Errors
    /// When no eventfd can be made.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Waker(Arc::new(EventFd::from_flags(flags)?)))
    }

    /// A waker that nobody has woken, for a thread that has nothing to wait for but it ([`Waker::wait`]), or that looks
    /// before it takes.
    ///
    /// # Errors
    /// As for [`Waker::new`].
    pub fn blocking() -> io::Result<Self> {
        Ok(Waker(Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?)))
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        // Only a counter near 2^64 could refuse.
        let _ = self.0.write(1);
    }

    /// Returns when it was woken, or for a signal, and makes it unreadable again; how often it was woken since then.
    /// One that is not [`Waker::blocking`] does not wait.
    pub fn wait(&self) -> u64 {
        self.0.read().unwrap_or(0)
    }

    /// Makes it unreadable again; whether it was woken.
    pub fn take(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
