// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies one byte stream to another without ever blocking, so that a single poll loop can keep
//! all streams of a session going.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::program::pty;

/// Bytes held between the two ends: what a pipe holds, and two writes of a virtio-serial port.
const CAPACITY: usize = 64 * 1024;

/// Makes a descriptor non-blocking, as both ends of a [`Pump`] have to be.
///
/// # Errors
/// Those of `fcntl(2)`.
pub fn non_blocking(fd: OwnedFd) -> io::Result<File> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(File::from(fd))
}

/// What a pump is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is buffered: read.
    Reading,
    /// Bytes `.0..` of the buffer's `.1` are still to be written.
    Writing(usize, usize),
    /// End of file was read and everything written: wait until the sink has room again, which a
    /// virtio-serial port has when the host took the last buffer.
    Settling,
    /// Both ends are closed.
    Done,
}

/// One direction: from `source` to `sink`, until end of file or until the sink breaks.
#[derive(Debug)]
pub struct Pump {
    source: Option<File>,
    /// The sink is a terminal, and this was the last byte that was typed.
    typed: Option<Option<u8>>,
    sink: Option<File>,
    buffer: Box<[u8]>,
    state: State,
    /// Bytes that the sink has taken.
    written: u64,
}

impl Pump {
    /// A pump between two non-blocking files.
    #[must_use]
    pub fn new(source: File, sink: File) -> Self {
        Self {
            source: Some(source),
            sink: Some(sink),
            typed: None,
            buffer: vec![0; CAPACITY].into(),
            state: State::Reading,
            written: 0,
        }
    }

    /// A pump to our end of a terminal, where the end of file is typed.
    #[must_use]
    pub fn to_terminal(source: File, master: File) -> Self {
        Self {
            typed: Some(None),
            ..Self::new(source, master)
        }
    }

    /// A pump that is at its end: it only waits until `sink` has handed over what others wrote to it.
    #[must_use]
    pub fn settling(sink: File) -> Self {
        Self {
            source: None,
            sink: Some(sink),
            typed: None,
            buffer: Box::default(),
            state: State::Settling,
            written: 0,
        }
    }

    /// Whether everything is copied, or nobody reads any more; both ends are closed then.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether it waits for its source.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.state == State::Reading
    }

    /// Whether it waits for its sink to take more.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing(..))
    }

    /// Whether it waits for its sink, if only until that has handed over what it took.
    #[must_use]
    pub fn waits_for_sink(&self) -> bool {
        matches!(self.state, State::Writing(..) | State::Settling)
    }

    /// Copies what can be copied without waiting, about `limit` bytes at most; whether that was all: it waits for its
    /// source then only if that has nothing, and for its sink only if that takes no more.
    pub fn copy_what_is_there(&mut self, limit: u64) -> bool {
        let end = self.written + limit;
        while let Some((fd, flags)) = self.interest() {
            if self.written >= end {
                return false;
            }
            let mut fds = [PollFd::new(fd, flags)];
            // A signal that came is no reason to stop; there are few of them.
            let ready = loop {
                match poll(&mut fds, PollTimeout::ZERO) {
                    Err(Errno::EINTR) => {}
                    ready => break ready,
                }
            };
            let seen = fds[0].revents().filter(|_| ready.is_ok());
            match seen {
                Some(seen) if !seen.is_empty() => self.advance(seen),
                _ => break,
            }
        }
        true
    }

    /// Closes both ends, whatever is left.
    pub fn give_up(&mut self) {
        self.finish();
    }

    /// How many bytes the sink has taken.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// What to poll for before [`Pump::advance`]; `None` when done.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match self.state {
            State::Reading => Some((self.source.as_ref()?.as_fd(), PollFlags::POLLIN)),
            State::Writing(..) | State::Settling => {
                Some((self.sink.as_ref()?.as_fd(), PollFlags::POLLOUT))
            }
            State::Done => None,
        }
    }

    /// Copies what can be copied now, given what poll saw; called when poll saw anything.
    ///
    /// A read error ends the stream like end of file. A sink that broke (the program closed its
    /// standard input, the host its output) closes the source too, so that a writer there gets
    /// SIGPIPE as it would in a shell's pipeline.
    pub fn advance(&mut self, seen: PollFlags) {
        let hung_up =
            seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL);
        match self.state {
            State::Reading => self.read(),
            // A port without a host never becomes writable again, and says so only here.
            State::Writing(..) | State::Settling if hung_up => self.finish(),
            State::Writing(from, to) => self.write(from, to),
            State::Settling => self.finish(),
            State::Done => {}
        }
    }

    fn read(&mut self) {
        let Some(source) = &mut self.source else {
            return self.finish();
        };
        // A port gives a page at a time. Whoever reads the other end is woken once for all that there is.
        let mut length = 0;
        while length < self.buffer.len() {
            match source.read(&mut self.buffer[length..]) {
                Ok(count @ 1..) => length += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && length == 0 => return,
                // The end is seen again once what came before it was written.
                _ => break,
            }
        }
        match length {
            0 => self.end_of_file(),
            length => self.write(0, length),
        }
    }

    fn write(&mut self, mut from: usize, to: usize) {
        let Some(sink) = &mut self.sink else {
            return self.finish();
        };
        while from < to {
            match sink.write(&self.buffer[from..to]) {
                Ok(0) => return self.finish(),
                Ok(length) => {
                    from += length;
                    self.written += length as u64;
                    if let Some(last) = &mut self.typed {
                        *last = Some(self.buffer[from - 1]);
                    }
                }
                Err(error) if is_temporary(&error) => {
                    self.state = State::Writing(from, to);
                    return;
                }
                Err(_) => return self.finish(),
            }
        }
        self.state = match self.source {
            Some(_) => State::Reading,
            None => State::Settling,
        };
    }

    fn end_of_file(&mut self) {
        self.source = None;
        self.state = State::Settling;
        if let (Some(last), Some(master)) = (self.typed.take(), &self.sink) {
            let end = pty::end_of_file(master, last);
            self.buffer[..end.len()].copy_from_slice(&end);
            self.write(0, end.len());
        }
    }

    fn finish(&mut self) {
        self.source = None;
        self.sink = None;
        self.state = State::Done;
    }
}

/// Whether the same call may do later what it has not done now.
fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
