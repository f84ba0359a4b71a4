// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host's ends of the console's ports: our standard streams, and the messages of init.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use cki_session::{GuestMessage, LineBuffer, decode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::vcpu::End;
use crate::virtio::console::PortIo;

/// What the main thread is told.
#[derive(Debug)]
pub enum Event {
    /// Init said something.
    Message(GuestMessage),
    /// Init said something that is no message.
    Protocol(String),
    /// The vCPU does not run any more.
    End(End),
}

/// The way to the main thread.
#[derive(Debug)]
pub struct Events {
    sender: Sender<Event>,
    wake: Arc<EventFd>,
}

impl Clone for Events {
    fn clone(&self) -> Self {
        Events {
            sender: self.sender.clone(),
            wake: Arc::clone(&self.wake),
        }
    }
}

/// The main thread's end.
#[derive(Debug)]
pub struct Inbox {
    /// What was sent.
    pub receiver: Receiver<Event>,
    /// Readable when something was, or when [`Events::wake`] was called.
    pub wake: Arc<EventFd>,
}

/// A way to the main thread and its end.
///
/// # Errors
/// When no eventfd can be made.
pub fn events() -> io::Result<(Events, Inbox)> {
    let wake = Arc::new(EventFd::from_flags(
        EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC,
    )?);
    let (sender, receiver) = mpsc::channel();
    let events = Events {
        sender,
        wake: Arc::clone(&wake),
    };
    Ok((events, Inbox { receiver, wake }))
}

impl Events {
    /// Tells the main thread.
    pub fn send(&self, event: Event) {
        // It has ended, or nobody waits any more: nothing is lost.
        let _ = self.sender.send(event);
        self.wake();
    }

    /// Has the main thread look at what the devices wait for.
    pub fn wake(&self) {
        // Only a counter near 2^64 could refuse.
        let _ = self.wake.write(1);
    }
}

/// Whether poll sees any of `flags`, an error or a hang-up on a descriptor now.
fn is_ready(file: &File, flags: PollFlags) -> bool {
    let mut fds = [PollFd::new(file.as_fd(), flags)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

/// One of our streams. The descriptor stays blocking, because it is shared with who started us; poll is
/// asked before each access.
#[derive(Debug)]
pub enum Stream {
    /// Standard input.
    Input(File),
    /// Standard output or error.
    Output(File),
}

impl PortIo for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // Nothing writes to the port of standard input; if something does, nobody reads it.
            Stream::Input(_) => Ok(bytes.len()),
            Stream::Output(file) if is_ready(file, PollFlags::POLLOUT) => file.write(bytes),
            Stream::Output(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Input(file) if is_ready(file, PollFlags::POLLIN) => file.read(bytes),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

/// Messages for init, until it reads them.
#[derive(Clone, Debug, Default)]
pub struct Outgoing(Arc<Mutex<VecDeque<u8>>>);

impl Outgoing {
    /// Adds a line.
    pub fn push(&self, line: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(line);
    }
}

/// The control port.
#[derive(Debug)]
pub struct ControlPort {
    lines: LineBuffer,
    events: Events,
    outgoing: Outgoing,
}

impl ControlPort {
    /// A port that tells `events` what init says, and tells init what is in `outgoing`.
    #[must_use]
    pub fn new(events: Events, outgoing: Outgoing) -> Self {
        ControlPort {
            lines: LineBuffer::default(),
            events,
            outgoing,
        }
    }

    fn breach(&self, error: &dyn std::fmt::Display) -> io::Error {
        self.events.send(Event::Protocol(error.to_string()));
        ErrorKind::InvalidData.into()
    }
}

impl PortIo for ControlPort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.push(bytes);
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => match decode(&line) {
                    Ok(message) => self.events.send(Event::Message(message)),
                    Err(error) => return Err(self.breach(&error)),
                },
                Ok(None) => return Ok(bytes.len()),
                Err(error) => return Err(self.breach(&error)),
            }
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut outgoing = self
            .outgoing
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = bytes.len().min(outgoing.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        for (to, from) in bytes.iter_mut().zip(outgoing.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe() -> (File, File) {
        let (read, write) = std::os::unix::net::UnixStream::pair().unwrap();
        (
            File::from(OwnedFd::from(read)),
            File::from(OwnedFd::from(write)),
        )
    }

    fn would_block(result: io::Result<usize>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn a_full_pipe_does_not_block_the_writer() {
        let (mut read, write) = pipe();
        let mut stream = Stream::Output(write);
        let mut written = 0;
        while let Ok(count) = stream.write(&[b'x'; 4096]) {
            written += count;
            assert!(written <= 1 << 20, "never full");
        }
        assert!(would_block(stream.write(b"x")));
        read.read_exact(&mut vec![0; 8192]).unwrap();
        assert!(stream.write(b"x").is_ok());
    }

    #[test]
    fn a_pipe_without_a_reader_is_broken() {
        let (read, write) = pipe();
        drop(read);
        let error = Stream::Output(write).write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn input_comes_as_it_is_there_and_ends() {
        let (read, mut write) = pipe();
        let mut stream = Stream::Input(read);
        let mut bytes = [0; 8];
        assert!(would_block(stream.read(&mut bytes)));
        write.write_all(b"abc").unwrap();
        assert_eq!(stream.read(&mut bytes).unwrap(), 3);
        drop(write);
        assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let (events, inbox) = events().unwrap();
        let mut port = ControlPort::new(events, Outgoing::default());
        port.write(b"{\"type\":\"started\",\"isolation\":\"none\",")
            .unwrap();
        assert!(inbox.receiver.try_recv().is_err());
        port.write(b"\"pid\":7}\n{\"type\":\"exited\",\"status\":3}\n")
            .unwrap();
        assert!(matches!(
            inbox.receiver.try_recv(),
            Ok(Event::Message(GuestMessage::Started { pid: 7, .. }))
        ));
        assert!(matches!(
            inbox.receiver.try_recv(),
            Ok(Event::Message(GuestMessage::Exited { status: 3 }))
        ));
        assert!(inbox.wake.read().is_ok());
    }

    #[test]
    fn what_is_no_message_ends_the_port() {
        let (events, inbox) = events().unwrap();
        let mut port = ControlPort::new(events, Outgoing::default());
        assert!(port.write(b"Linux version 6.12\n").is_err());
        assert!(matches!(inbox.receiver.try_recv(), Ok(Event::Protocol(_))));
    }

    #[test]
    fn messages_for_init_wait_until_it_reads() {
        let outgoing = Outgoing::default();
        let (events, _inbox) = events().unwrap();
        let mut port = ControlPort::new(events, outgoing.clone());
        let mut bytes = [0; 4];
        assert!(would_block(port.read(&mut bytes)));
        outgoing.push(b"line\nx");
        assert_eq!(port.read(&mut bytes).unwrap(), 4);
        assert_eq!(port.read(&mut bytes).unwrap(), 2);
    }
}
