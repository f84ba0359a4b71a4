// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages on their way to the other side of a session.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write};

use serde::Serialize;

use super::{MAX_LINE, ProtocolError, encode};

/// Bytes of messages that wait for the other side to read them, at most, wherever this protocol is spoken: a line of
/// the longest, and 256 KiB, which is all that a side of ours reads before it looks at what has come. So whatever came
/// together can be passed on together.
pub const QUEUE_MAX: usize = 20 << 16;

// Otherwise a message of the longest could not be sent at all.
const _: () = assert!(MAX_LINE < QUEUE_MAX);

/// Why a message is not sent. Nothing of it waits then, and what waited before it still does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// The other side does not read: [`QUEUE_MAX`] would be exceeded.
    #[error("the other side does not read: {QUEUE_MAX} bytes at most wait for it")]
    Full,
    /// It is no message that can be sent.
    #[error(transparent)]
    Message(#[from] ProtocolError),
}

/// Messages that the other side has not taken yet, as lines, in order.
///
/// A message is queued whole or not at all. What the queue has no room for is [`NotQueued::Full`], and whoever asked is
/// told; it is never left out silently, and nobody waits for room. Who wants to lose nothing stops listening to whoever
/// asks until there [is room](Outgoing::has_room) again.
///
/// It does no more than keep bytes: [`Outgoing::write_to`] writes them to whatever takes bytes without waiting,
/// [`Outgoing::take`] gives them to a reader that comes for them.
#[derive(Debug, Default)]
pub struct Outgoing(VecDeque<u8>);

impl Outgoing {
    /// Adds a message.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn push<M: Serialize>(&mut self, message: &M) -> Result<(), NotQueued> {
        let line = encode(message)?;
        self.reserve(line.len())?;
        self.0.extend(line);
        Ok(())
    }

    /// Adds all that waits in another queue, or nothing of it.
    ///
    /// # Errors
    /// [`NotQueued::Full`].
    pub fn append(&mut self, mut other: Outgoing) -> Result<(), NotQueued> {
        self.reserve(other.0.len())?;
        self.0.append(&mut other.0);
        Ok(())
    }

    fn reserve(&self, size: usize) -> Result<(), NotQueued> {
        match self.0.len() + size <= QUEUE_MAX {
            true => Ok(()),
            false => Err(NotQueued::Full),
        }
    }

    /// Whether a message of any length is queued if it is pushed now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.len() + MAX_LINE <= QUEUE_MAX
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes what waits, as far as `to` takes it now; whether that was all.
    ///
    /// # Errors
    /// Those of `to` but [`ErrorKind::Interrupted`], after which it goes on, and [`ErrorKind::WouldBlock`], which means
    /// that the rest waits; [`ErrorKind::WriteZero`] of a `to` that takes nothing and says nothing.
    pub fn write_to(&mut self, to: &mut impl Write) -> io::Result<bool> {
        loop {
            let (first, _) = self.0.as_slices();
            if first.is_empty() {
                return Ok(true);
            }
            match to.write(first) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.0.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves bytes from the front into `bytes`, as many as there are and fit; how many.
    pub fn take(&mut self, bytes: &mut [u8]) -> usize {
        let mut count = 0;
        // A deque reads as two pieces. It does not fail.
        while let Ok(more @ 1..) = self.0.read(&mut bytes[count..]) {
            count += more;
        }
        count
    }
}
