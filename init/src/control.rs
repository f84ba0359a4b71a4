// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's end of the control port.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use cki_session::{GuestMessage, HostMessage, LineBuffer, ProtocolError, decode, encode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The host cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The host closed the control port, so nobody waits for the program any more.
    #[error("the host closed the control port")]
    Closed,
    /// The port itself failed.
    #[error("the control port failed: {0}")]
    Io(#[from] io::Error),
    /// The host sent something that is no message.
    #[error("the host sent {0}")]
    Protocol(#[from] ProtocolError),
}

/// Messages over a non-blocking file.
#[derive(Debug)]
pub struct Control {
    port: File,
    lines: LineBuffer,
}

impl Control {
    /// The control port on `port`, opened non-blocking.
    #[must_use]
    pub fn new(port: File) -> Self {
        Self {
            port,
            lines: LineBuffer::default(),
        }
    }

    /// Sends a message, waiting until the host has taken it.
    ///
    /// # Errors
    /// [`ControlError::Closed`] when the host went away, or the port's error.
    pub fn send(&mut self, message: &GuestMessage) -> Result<(), ControlError> {
        let line = encode(message)?;
        let mut rest = &line[..];
        while !rest.is_empty() {
            self.wait(PollFlags::POLLOUT)?;
            match self.port.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if is_temporary(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A port has room again only when the host took what was written.
        self.wait(PollFlags::POLLOUT)
    }

    /// The messages that have arrived, without waiting.
    ///
    /// # Errors
    /// [`ControlError`]; the session cannot go on after any.
    pub fn receive(&mut self) -> Result<VecDeque<HostMessage>, ControlError> {
        let mut bytes = [0; 4096];
        loop {
            match self.port.read(&mut bytes) {
                Ok(0) => return Err(ControlError::Closed),
                Ok(length) => self.lines.push(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut messages = VecDeque::new();
        while let Some(line) = self.lines.next_line()? {
            messages.push_back(decode(&line)?);
        }
        Ok(messages)
    }

    /// Waits for messages; at least one is returned.
    ///
    /// # Errors
    /// [`ControlError`]; the session cannot go on after any.
    pub fn wait_for_messages(&mut self) -> Result<VecDeque<HostMessage>, ControlError> {
        loop {
            let messages = self.receive()?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            self.wait(PollFlags::POLLIN)?;
        }
    }

    fn wait(&self, flags: PollFlags) -> Result<(), ControlError> {
        loop {
            let mut fds = [PollFd::new(self.port.as_fd(), flags)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let seen = fds[0].revents().unwrap_or(PollFlags::empty());
            if seen.intersects(flags) {
                return Ok(());
            }
            if seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                return Err(ControlError::Closed);
            }
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Control, UnixStream) {
        let (guest, host) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        (Control::new(File::from(OwnedFd::from(guest))), host)
    }

    #[test]
    fn messages_are_received_however_they_are_cut() {
        let (mut control, mut host) = pair();
        assert!(control.receive().unwrap().is_empty());
        host.write_all(b"{\"type\":\"signal\",\"sig").unwrap();
        assert!(control.receive().unwrap().is_empty());
        host.write_all(b"nal\":2}\n{\"type\":\"signal\",\"signal\":15}\n")
            .unwrap();
        let got = control.wait_for_messages().unwrap();
        assert_eq!(got, [2, 15].map(|signal| HostMessage::Signal { signal }));
    }

    #[test]
    fn a_sent_message_is_a_line() {
        let (mut control, mut host) = pair();
        control.send(&GuestMessage::Exited { status: 7 }).unwrap();
        drop(control);
        let mut text = String::new();
        host.read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"type\":\"exited\",\"status\":7}\n");
    }

    #[test]
    fn garbage_and_a_closed_port_end_the_session() {
        let (mut control, mut host) = pair();
        host.write_all(b"hello?\n").unwrap();
        assert!(matches!(control.receive(), Err(ControlError::Protocol(_))));
        drop(host);
        assert!(matches!(control.receive(), Err(ControlError::Closed)));
    }
}
