// SPDX-License-Identifier: MIT OR Apache-2.0

//! What init of the container is told, and what it says.

use std::fs::File;
use std::io::{self, ErrorKind};

use cki_session::{Event, LineBuffer, Request, decode, encode};
use nix::poll::PollFlags;

use crate::unblocked::{Unblocked, Way};

/// Bytes that wait for init, about, at most, besides the first request: many signals.
const WAITING_MAX: usize = 64 << 10;
/// Bytes that init may say before it was asked for anything, which is its hello.
const HELLO_MAX: usize = 64 << 10;

/// Why nothing more is to be heard.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The connection has ended.
    #[error("the connection to its init has ended")]
    End,
    /// The connection has ended before init said hello, which it has for so many clients at most.
    #[error(
        "its init has ended the connection without a hello: it ends, or has too many clients at once"
    )]
    NoHello,
    /// It is no init of ours.
    #[error("its init does not speak the session protocol: {0}")]
    Protocol(String),
    /// A request is too long.
    #[error("the command line and variables are too long")]
    TooLong,
}

/// The control connection.
#[derive(Debug)]
pub struct Control {
    file: File,
    input: Unblocked,
    output: Unblocked,
    lines: LineBuffer,
    /// So much of it was heard while nothing had been asked.
    unasked: Option<usize>,
    unsaid: Vec<u8>,
}

impl Control {
    /// A connection that nothing was said on yet.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Control {
            input: Unblocked::new(&file, Way::In)?,
            output: Unblocked::new(&file, Way::Out)?,
            file,
            lines: LineBuffer::default(),
            unasked: Some(0),
            unsaid: Vec::new(),
        })
    }

    /// For poll, with what is to be waited for.
    #[must_use]
    pub fn descriptor(&self) -> (&File, PollFlags) {
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !self.unsaid.is_empty());
        (&self.file, flags)
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    /// [`ControlError`], after all that came before.
    pub fn hear(&mut self) -> Result<Option<Event>, ControlError> {
        let protocol =
            |error: cki_session::ProtocolError| ControlError::Protocol(error.to_string());
        let mut bytes = [0; 4096];
        // A line of the longest comes in many pieces, but not for ever.
        loop {
            if let Some(line) = self.lines.next_line().map_err(protocol)? {
                return decode(&line).map(Some).map_err(protocol);
            }
            match self.input.read(&mut bytes) {
                Ok(0) => return Err(self.end()),
                Ok(count) => {
                    if let Some(heard) = &mut self.unasked {
                        *heard += count;
                        if *heard > HELLO_MAX {
                            let what = format!("a hello of more than {HELLO_MAX} bytes");
                            return Err(ControlError::Protocol(what));
                        }
                    }
                    self.lines.push(&bytes[..count]);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Ok(None),
                    _ => return Err(self.end()),
                },
            }
        }
    }

    /// What the end of the connection is. Nothing is asked before init's hello.
    fn end(&self) -> ControlError {
        match self.unasked {
            Some(_) => ControlError::NoHello,
            None => ControlError::End,
        }
    }

    /// Whether init takes what it is asked, so that it can be asked for more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unsaid.len() < WAITING_MAX
    }

    /// Asks for something, now or as soon as init reads.
    ///
    /// # Errors
    /// [`ControlError::TooLong`].
    pub fn ask(&mut self, request: &Request) -> Result<(), ControlError> {
        let line = encode(request).map_err(|_| ControlError::TooLong)?;
        self.unasked = None;
        self.unsaid.extend(line);
        self.say();
        Ok(())
    }

    /// Writes what waits. A connection that has ended is seen when it is listened to.
    pub fn say(&mut self) {
        while !self.unsaid.is_empty() {
            match self.output.write(&self.unsaid) {
                Ok(count @ 1..) => drop(self.unsaid.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => self.unsaid.clear(),
            }
        }
    }
}
