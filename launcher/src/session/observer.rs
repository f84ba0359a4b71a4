// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tells a container's counts to whoever connects to its socket `stats`: one line of JSON, and the end.
//!
//! The session's thread does it, which no guest can keep: one that has stopped its devices, or does not run, is looked
//! at as any other. The socket is its user's alone, as that of `cki exec` is.

use std::fmt;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use nix::sys::socket::send;

use crate::counts::Counts;
use crate::unblocked::SOCKET_FLAGS;

/// How long nobody is answered when there is no descriptor for a client.
const BREAK: Duration = Duration::from_millis(10);
/// Clients that are served at a time; others wait until the session has been looked after.
const CLIENTS: usize = 8;

/// The socket, and what is told there.
pub struct Observer {
    listener: UnixListener,
    counts: Box<dyn Fn() -> Counts + Send>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Observer");
        debug
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Observer {
    /// One that tells these counts. Of the listener, nothing may wait.
    #[must_use]
    pub fn new(listener: UnixListener, counts: impl Fn() -> Counts + Send + 'static) -> Self {
        Observer {
            listener,
            counts: Box::new(counts),
        }
    }

    /// Readable when somebody asks.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Answers those who ask. Whoever has gone, or has no room for some kilobytes, gets nothing.
    pub fn answer(&self) {
        for _ in 0..CLIENTS {
            let client = match self.listener.accept() {
                Ok((client, _)) => client,
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        // No descriptor is left, and somebody waits still: the next look shall not come at once.
                        thread::sleep(BREAK);
                    }
                    return;
                }
            };
            let Ok(mut line) = serde_json::to_vec(&(self.counts)()) else {
                return;
            };
            line.extend_from_slice(b"\n");
            // What it does not take at once, nobody waits for.
            let _ = send(client.as_raw_fd(), &line, SOCKET_FLAGS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn all_who_ask_are_answered_and_who_has_gone_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let observer = Observer::new(listener, || Counts {
            vcpus: vec![[("entries".to_owned(), 5)].into()],
            devices: Vec::new(),
        });
        drop(UnixStream::connect(&path).unwrap());
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        observer.answer();
        // One more than are served at a time.
        let mut last = clients.pop().unwrap();
        last.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let error = last.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        observer.answer();
        for mut client in clients.into_iter().chain([last]) {
            let mut line = String::new();
            client.read_to_string(&mut line).unwrap();
            assert_eq!(line, "{\"vcpus\":[{\"entries\":5}],\"devices\":[]}\n");
        }
        // Nobody asks, and nothing waits.
        observer.answer();
    }
}
