// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests on their way to the machine's init.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cki_session::{NotQueued, Outgoing};
use serde::Serialize;

/// Requests on their way to the machine's init. A thread of its own writes them: a machine that does not read keeps
/// the session from nothing. What there is no room for is lost, and the user is told.
#[derive(Debug)]
pub(crate) struct Requests(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: Outgoing,
    /// What was taken out of it is not written yet.
    is_being_written: bool,
    /// Nothing more comes.
    is_over: bool,
    /// The machine takes nothing more.
    is_gone: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write, and takes as much of it as `bytes` holds; 0 when nothing more comes. What was
    /// taken before is written then.
    fn take(&self, bytes: &mut [u8]) -> usize {
        let mut waiting = self.lock();
        waiting.is_being_written = false;
        self.changed.notify_all();
        let empty = |waiting: &mut Waiting| waiting.queue.is_empty() && !waiting.is_over;
        let waited = self.changed.wait_while(waiting, empty);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let count = waiting.queue.take(bytes);
        waiting.is_being_written = count > 0;
        count
    }
}

impl Requests {
    /// Those for the machine at the other end of `port`.
    pub(crate) fn new(mut port: UnixStream) -> Self {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let count = ours.take(&mut bytes);
                if count == 0 {
                    return;
                }
                // When this fails the machine is gone, which its own event tells.
                if let Err(error) = port.write_all(&bytes[..count]) {
                    tracing::debug!(%error, "control port");
                    ours.lock().is_gone = true;
                    ours.changed.notify_all();
                    return;
                }
            }
        });
        Self(shared)
    }

    /// Adds one.
    pub(crate) fn send<M: Serialize>(&self, request: &M) {
        self.add(|queue| queue.push(request));
    }

    /// Adds all that wait elsewhere.
    pub(crate) fn append(&self, others: Outgoing) {
        self.add(|queue| queue.append(others));
    }

    fn add(&self, add: impl FnOnce(&mut Outgoing) -> Result<(), NotQueued>) {
        let added = add(&mut self.0.lock().queue);
        self.0.changed.notify_all();
        if let Err(error) = added {
            warn_of(&error);
        }
    }

    /// Waits until those that were added are written, but no longer than `limit`; whether they are.
    pub(crate) fn are_written(&self, limit: Duration) -> bool {
        let unwritten = |waiting: &mut Waiting| {
            !waiting.is_gone && (waiting.is_being_written || !waiting.queue.is_empty())
        };
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.0.lock(), limit, unwritten);
        let (waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out() && !waiting.is_gone
    }
}

/// Tells the user that the machine is not asked for something.
pub(crate) fn warn_of(error: &NotQueued) {
    tracing::warn!("the machine is not asked for one more thing: {error}");
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use cki_session::{ProcessId, Request, Signal, encode};

    use super::*;

    #[test]
    fn a_machine_that_reads_late_gets_all_that_there_was_room_for_and_keeps_nobody_waiting() {
        let (ours, mut its) = UnixStream::pair().unwrap();
        let requests = Requests::new(ours);
        let signal = Request::Signal {
            id: ProcessId::MAIN,
            signal: Signal::TERM,
        };
        let line = encode(&signal).unwrap();
        // The queue, the socket, and then some.
        let count = 2 * cki_session::QUEUE_MAX / line.len();
        for _ in 0..count {
            requests.send(&signal);
        }
        drop(requests);
        let mut bytes = Vec::new();
        its.read_to_end(&mut bytes).unwrap();
        let kept = bytes.len() / line.len();
        assert!(bytes == line.repeat(kept), "whole lines, in order");
        let most = cki_session::QUEUE_MAX / line.len();
        assert!((most..count).contains(&kept), "{kept} of {count}");
    }

    #[test]
    fn requests_are_written_when_it_is_said_and_a_machine_that_does_not_read_is_not_waited_for() {
        let (ours, mut its) = UnixStream::pair().unwrap();
        its.set_nonblocking(true).unwrap();
        let requests = Requests::new(ours);
        requests.send(&1);
        requests.send(&2);
        assert!(requests.are_written(Duration::from_secs(60)));
        let mut read = [0; 16];
        let length = its.read(&mut read).unwrap();
        assert_eq!(&read[..length], b"1\n2\n");
        // More than a socket holds.
        for _ in 0..20 {
            requests.send(&"x".repeat(64 << 10));
        }
        assert!(!requests.are_written(Duration::from_millis(10)));
        drop(its);
        assert!(!requests.are_written(Duration::from_secs(60)), "it is gone");
    }
}
