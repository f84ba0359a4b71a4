// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests on their way to the machine's init.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

/// Requests that init has not read yet, at most; what comes when there are as many is lost, and the user is told.
const WAITING_MAX: usize = 64;

/// Requests on their way to the machine's init. A thread of its own writes them: a machine that does not read keeps
/// the session from nothing.
#[derive(Debug)]
pub(crate) struct Requests(SyncSender<Item>);

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// Somebody waits to be told that all before it is written.
    Told(SyncSender<()>),
}

impl Requests {
    /// Those for the machine at the other end of `port`.
    pub(crate) fn new(mut port: UnixStream) -> Self {
        let (sender, items) = mpsc::sync_channel(WAITING_MAX);
        thread::spawn(move || {
            for item in items {
                let line = match item {
                    Item::Line(line) => line,
                    Item::Told(who) => {
                        // Who has waited long enough is gone.
                        let _ = who.try_send(());
                        continue;
                    }
                };
                // When this fails the machine is gone, which its own event tells.
                if let Err(error) = port.write_all(&line) {
                    tracing::debug!(%error, "control port");
                    return;
                }
            }
        });
        Self(sender)
    }

    /// Adds one, encoded.
    pub(crate) fn send(&self, line: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(Item::Line(line)) {
            tracing::warn!("the machine does not read its requests: one more is dropped");
        }
    }

    /// Waits until those that were added are written, but no longer than `limit`; whether they are.
    pub(crate) fn are_written(&self, limit: Duration) -> bool {
        let (told, written) = mpsc::sync_channel(1);
        self.0.try_send(Item::Told(told)).is_ok() && written.recv_timeout(limit).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn requests_are_written_when_it_is_said_and_a_machine_that_does_not_read_is_not_waited_for() {
        let (ours, mut machines) = UnixStream::pair().expect("a pair");
        machines.set_nonblocking(true).expect("set");
        let requests = Requests::new(ours);
        requests.send(b"one\n".to_vec());
        requests.send(b"two\n".to_vec());
        assert!(requests.are_written(Duration::from_secs(60)));
        let mut read = [0; 16];
        let length = machines.read(&mut read).expect("it is there already");
        assert_eq!(&read[..length], b"one\ntwo\n");
        // More than a socket holds.
        requests.send(vec![b'x'; 64 << 20]);
        assert!(!requests.are_written(Duration::from_millis(10)));
        drop(machines);
        assert!(!requests.are_written(Duration::from_secs(60)), "it is gone");
    }
}
