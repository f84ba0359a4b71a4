// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program's standard streams: our own descriptors, as the host's ends of the console's ports.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use cki_session::port as names;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::{ControlPort, Inbox, Outgoing};
use crate::virtio::console::{Console, PortIo};
use crate::vm::machine::port;

/// Our side of the program's streams. Descriptors of their own, so that closing them hurts nobody.
#[derive(Debug)]
pub struct Streams {
    /// What the program reads.
    pub stdin: File,
    /// Where its standard output goes.
    pub stdout: File,
    /// Where its standard error goes.
    pub stderr: File,
}

impl Streams {
    /// The standard streams of this process.
    ///
    /// # Errors
    /// When one cannot be duplicated.
    pub fn ours() -> io::Result<Self> {
        Ok(Streams {
            stdin: duplicate(&io::stdin())?,
            stdout: duplicate(&io::stdout())?,
            stderr: duplicate(&io::stderr())?,
        })
    }

    /// The device with the ports of a session. What comes over the control port goes to `inbox`.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated.
    pub fn ports(&self, inbox: &Inbox, outgoing: &Outgoing) -> io::Result<Console> {
        let control = ControlPort::new(inbox.sender(), outgoing.clone());
        let ends: [Box<dyn PortIo>; port::COUNT] = [
            Box::new(control),
            Box::new(Stream::Input(self.stdin.try_clone()?)),
            Box::new(Stream::Output(self.stdout.try_clone()?)),
            Box::new(Stream::Output(self.stderr.try_clone()?)),
        ];
        let named = names::ALL.map(str::to_owned).into_iter().zip(ends);
        Ok(Console::new(named.collect()))
    }
}

/// A descriptor of its own for the same file.
///
/// # Errors
/// When none is left.
pub fn duplicate(stream: &impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
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
}
