// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as they come from the other side of a session.

use std::io::{self, ErrorKind, Read};

use serde::de::DeserializeOwned;

use super::{MAX_LINE, ProtocolError, decode};

/// A message, or why a line is none that is understood here. The next line may be one.
pub type Heard<M> = Result<M, String>;

/// What a look at the other side has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// So many bytes; there may be more.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// It has closed its end. What it has begun to say is no message, and is forgotten.
    End,
}

/// What the other side has said and was not looked at yet.
///
/// It does no more than cut bytes into messages: they are [pushed](Incoming::push), or
/// [read](Incoming::read_from) from whatever gives some. Who takes as many messages as have come between two of these
/// keeps little more than a line of the longest; messages come before the end that came after them.
#[derive(Debug, Default)]
pub struct Incoming(LineBuffer);

impl Incoming {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.bytes.extend_from_slice(bytes);
    }

    /// Reads once, 4 KiB at most, and adds what came.
    ///
    /// # Errors
    /// Those of `from` but [`ErrorKind::Interrupted`], after which it is asked again, and [`ErrorKind::WouldBlock`],
    /// which is [`Arrived::Nothing`].
    pub fn read_from(&mut self, from: &mut impl Read) -> io::Result<Arrived> {
        let mut bytes = [0; 4096];
        loop {
            match from.read(&mut bytes) {
                Ok(0) => return Ok(Arrived::End),
                Ok(count) => {
                    self.push(&bytes[..count]);
                    return Ok(Arrived::Bytes(count));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Arrived::Nothing),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message, if all of it is here: for a client, who understands all events, those of later versions too.
    ///
    /// # Errors
    /// [`ProtocolError`]; the session is over.
    pub fn message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ProtocolError> {
        match self.0.next_line()? {
            Some(line) => decode(&line).map(Some),
            None => Ok(None),
        }
    }

    /// The next message, if all of it is here: for a server, who refuses a request that it does not understand, and
    /// goes on.
    ///
    /// # Errors
    /// [`ProtocolError`], but not [`ProtocolError::NotUnderstood`]; the session is over.
    pub fn hear<M: DeserializeOwned>(&mut self) -> Result<Option<Heard<M>>, ProtocolError> {
        match self.message() {
            Ok(message) => Ok(message.map(Ok)),
            Err(error @ ProtocolError::NotUnderstood(_)) => Ok(Some(Err(error.to_string()))),
            Err(error) => Err(error),
        }
    }
}

/// Bytes of lines that are taken and kept until then, about, at most.
const TAKEN_MAX: usize = 64 << 10;

/// Cuts a byte stream into lines, for a side that reads in pieces of any size.
#[derive(Debug, Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    /// So many of them were lines that are taken. They go when there are [`TAKEN_MAX`] of them, or no whole line is
    /// left: many short lines are not moved for each of them, and whoever never sends half a line fills no memory.
    taken: usize,
    /// So many of them are known to have no further `\n`: a long line that comes in many pieces is looked through once.
    looked: usize,
}

impl LineBuffer {
    /// Takes the next complete line (without its `\n`), or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] once more than [`MAX_LINE`] bytes have come without a `\n`;
    /// the stream is of no use after that.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ProtocolError> {
        let new = self.bytes.get(self.looked..).unwrap_or(&[]);
        let found = new.iter().position(|&byte| byte == b'\n');
        let end = found.map_or(self.bytes.len(), |at| self.looked + at);
        let line = self.bytes.get(self.taken..end).unwrap_or(&[]);
        if line.len() >= MAX_LINE {
            return Err(ProtocolError::TooLong);
        }
        if found.is_some() {
            let line = line.to_vec();
            self.taken = end + 1;
            self.looked = self.taken;
            if self.taken >= TAKEN_MAX || self.taken == self.bytes.len() {
                self.drop_taken();
            }
            return Ok(Some(line));
        }
        self.drop_taken();
        self.looked = self.bytes.len();
        Ok(None)
    }

    fn drop_taken(&mut self) {
        self.bytes.drain(..self.taken);
        self.looked -= self.taken;
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a launcher does that is told by a guest: a line, a message, and never a look that finds none.
    #[test]
    fn lines_that_are_taken_one_by_one_are_not_kept() {
        let line = format!("\"{}\"\n", "x".repeat(32 << 10));
        let mut incoming = Incoming::default();
        for _ in 0..10_000 {
            incoming.push(line.as_bytes());
            assert!(incoming.message::<String>().unwrap().is_some());
        }
        assert!(incoming.0.bytes.capacity() < 4 * line.len());
        // Many in a piece, of which each is taken.
        for _ in 0..100 {
            incoming.push(line.repeat(10).as_bytes());
            for _ in 0..10 {
                assert!(incoming.message::<String>().unwrap().is_some());
            }
        }
        assert!(incoming.0.bytes.capacity() < 40 * line.len());
    }
}
