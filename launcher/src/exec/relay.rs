// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stream of ours and one of the process's: bytes go from one to the other, and neither is waited for.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;

use nix::poll::PollFlags;
use nix::sys::socket::{Shutdown, shutdown};

use crate::unblocked::{Unblocked, Way};

/// Bytes that wait between the two, at most.
const PIECE: usize = 32 << 10;
/// Pieces that are moved in one turn, at most.
const TURN: usize = 8;

/// What a relay is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// There may be more.
    Open,
    /// All that came was handed over.
    End,
    /// Nobody takes more.
    Broken(ErrorKind),
}

/// Bytes from one descriptor to another.
#[derive(Debug)]
pub(super) struct Relay {
    from: (File, Unblocked),
    to: (File, Unblocked),
    piece: Vec<u8>,
    /// So many of the piece were handed over.
    taken: usize,
    /// Bytes that came in all.
    received: u64,
    /// Bytes that were handed over in all.
    written: u64,
    /// Bytes that it still takes from its source.
    left: u64,
    /// Nothing more comes.
    ended: bool,
    at: At,
}

impl Relay {
    pub(super) fn new(from: File, to: File) -> io::Result<Self> {
        Ok(Relay {
            from: (from.try_clone()?, Unblocked::new(&from, Way::In)?),
            to: (to.try_clone()?, Unblocked::new(&to, Way::Out)?),
            piece: Vec::new(),
            taken: 0,
            received: 0,
            written: 0,
            left: u64::MAX,
            ended: false,
            at: At::Open,
        })
    }

    pub(super) fn at(&self) -> At {
        self.at
    }

    /// Bytes that came so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that were handed over so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Takes about this much more from its source, at most; what it has is handed over.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.left = bytes;
        self.ended |= bytes == 0;
    }

    /// Whether it ends with its next step.
    pub(super) fn is_stopped(&self) -> bool {
        self.at == At::Open && self.ended && !self.waits_for_room()
    }

    /// Whether it waits for somebody to take what it has.
    pub(super) fn waits_for_room(&self) -> bool {
        self.at == At::Open && self.taken < self.piece.len()
    }

    /// For poll: the one of the two that it waits for, and what for.
    pub(super) fn descriptor(&self) -> Option<(&File, PollFlags)> {
        match self.at {
            At::Open if self.waits_for_room() => Some((&self.to.0, PollFlags::POLLOUT)),
            At::Open => Some((&self.from.0, PollFlags::POLLIN)),
            _ => None,
        }
    }

    /// Moves what can be moved now; whether anything was.
    pub(super) fn advance(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..TURN {
            if self.at != At::Open || !self.step() {
                break;
            }
            moved = true;
        }
        moved
    }

    fn step(&mut self) -> bool {
        let result = if self.waits_for_room() {
            let written = self.to.1.write(&self.piece[self.taken..]);
            written.map(|count| {
                self.taken += count;
                self.written += count as u64;
            })
        } else if self.ended {
            self.at = At::End;
            return true;
        } else {
            self.piece.resize(PIECE, 0);
            self.taken = 0;
            let read = self.from.1.read(&mut self.piece);
            self.piece.truncate(*read.as_ref().unwrap_or(&0));
            self.received += self.piece.len() as u64;
            self.left = self.left.saturating_sub(self.piece.len() as u64);
            self.ended = matches!(read, Ok(0)) || self.left == 0;
            read.map(drop)
        };
        match result {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            // A source that fails has ended, a terminal that was hung up for instance.
            Err(_) if !self.waits_for_room() => {
                self.ended = true;
                true
            }
            Err(error) => {
                self.at = At::Broken(error.kind());
                true
            }
        }
    }

    /// Tells a socket that nothing more comes; the other direction stays open.
    pub(super) fn shut_down(&self) {
        // One that has gone need not be told.
        let _ = shutdown(self.to.0.as_raw_fd(), Shutdown::Write);
    }
}
