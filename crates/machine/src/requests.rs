// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests on their way to the machine's init.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;

/// Requests that init has not read yet, at most; what comes when there are as many is lost, and the user is told.
const WAITING_MAX: usize = 64;

/// Requests on their way to the machine's init. A thread of its own writes them: a machine that does not read keeps
/// the session from nothing.
#[derive(Debug)]
pub(crate) struct Requests(SyncSender<Vec<u8>>);

impl Requests {
    /// Those for the machine at the other end of `port`.
    pub(crate) fn new(mut port: UnixStream) -> Self {
        let (sender, lines) = mpsc::sync_channel::<Vec<u8>>(WAITING_MAX);
        thread::spawn(move || {
            for line in lines {
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
        if let Err(TrySendError::Full(_)) = self.0.try_send(line) {
            tracing::warn!("the machine does not read its requests: one more is dropped");
        }
    }
}
