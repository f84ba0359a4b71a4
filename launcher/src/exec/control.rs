// SPDX-License-Identifier: MIT OR Apache-2.0

//! What init of the container is told, and what it says.

use std::fs::File;
use std::io;

use cki_session::{Arrived, Event, Incoming, NotQueued, Outgoing, Request};
use nix::poll::PollFlags;

use crate::unblocked::{Unblocked, Way};

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
    /// It has not taken what it was asked before.
    #[error("its init does not read what it is asked")]
    Full,
}

/// The control connection.
#[derive(Debug)]
pub struct Control {
    file: File,
    input: Unblocked,
    output: Unblocked,
    incoming: Incoming,
    outgoing: Outgoing,
    /// So much of it was heard while nothing had been asked.
    unasked: Option<usize>,
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
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            unasked: Some(0),
        })
    }

    /// For poll, with what is to be waited for.
    #[must_use]
    pub fn descriptor(&self) -> (&File, PollFlags) {
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !self.outgoing.is_empty());
        (&self.file, flags)
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    /// [`ControlError`], after all that came before.
    pub fn hear(&mut self) -> Result<Option<Event>, ControlError> {
        // A line of the longest comes in many pieces, but not for ever.
        loop {
            let message = self.incoming.message();
            let message = message.map_err(|error| ControlError::Protocol(error.to_string()))?;
            if message.is_some() {
                return Ok(message);
            }
            match self.incoming.read_from(&mut self.input) {
                Ok(Arrived::Bytes(count)) => {
                    if let Some(heard) = &mut self.unasked {
                        *heard += count;
                        if *heard > HELLO_MAX {
                            let what = format!("a hello of more than {HELLO_MAX} bytes");
                            return Err(ControlError::Protocol(what));
                        }
                    }
                }
                Ok(Arrived::Nothing) => return Ok(None),
                Ok(Arrived::End) | Err(_) => return Err(self.end()),
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
        self.outgoing.has_room()
    }

    /// Asks for something, now or as soon as init reads.
    ///
    /// # Errors
    /// [`ControlError::TooLong`]; [`ControlError::Full`] where there is no room.
    pub fn ask(&mut self, request: &Request) -> Result<(), ControlError> {
        self.outgoing.push(request).map_err(|error| match error {
            NotQueued::Full => ControlError::Full,
            NotQueued::Message(_) => ControlError::TooLong,
        })?;
        self.unasked = None;
        self.say();
        Ok(())
    }

    /// Writes what waits. A connection that has ended is seen when it is listened to.
    pub fn say(&mut self) {
        if self.outgoing.write_to(&mut self.output).is_err() {
            self.outgoing = Outgoing::default();
        }
    }
}
