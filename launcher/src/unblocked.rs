// SPDX-License-Identifier: MIT OR Apache-2.0

//! Descriptors that we were given, read and written without waiting.
//!
//! Whoever started us shares them, so `O_NONBLOCK` must not be set on them. That poll says there is room is
//! not enough: a terminal that has room for one byte waits with the rest of a longer write, and what shares
//! a pipe with us may fill it between poll and write. So a terminal or a pipe is opened once more, which
//! gives a file description of our own, and a socket takes a flag with each call.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use cki_session::printable;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

/// What a socket is asked with.
pub(crate) const SOCKET_FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// A descriptor that neither reading nor writing waits for.
#[derive(Debug)]
pub struct Unblocked {
    file: File,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `O_NONBLOCK` is set on a description that nobody shares.
    Own,
    /// Each call says that it does not wait.
    Socket,
    /// A device that whoever started us made non-blocking for us: a virtio-serial port, which cannot be opened twice.
    /// A port whose other end has gone takes nothing, and only poll says why.
    Port,
    /// A terminal that we may not open (another user's): one byte at a time, when poll says that there is room.
    Terminal,
    /// Poll is asked before each call. Files and most devices are always ready; of a pipe that could not be opened
    /// again, a write of more than `PIPE_BUF` bytes might wait, so that much is written at a time.
    Asked,
}

/// Which way a descriptor is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is read.
    In,
    /// It is written.
    Out,
}

impl Unblocked {
    /// The stream behind `file`, to be used one way.
    ///
    /// # Errors
    /// When the descriptor can be neither opened again nor duplicated.
    pub fn new(file: &File, way: Way) -> io::Result<Self> {
        let found = file.metadata()?.file_type();
        let is_terminal = nix::unistd::isatty(file).unwrap_or(false);
        if found.is_socket() {
            return Self::shared(file, Kind::Socket);
        }
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        if !is_terminal && found.is_char_device() && flags.contains(OFlag::O_NONBLOCK) {
            return Self::shared(file, Kind::Port);
        }
        if is_terminal || found.is_fifo() {
            let again = OpenOptions::new()
                .read(way == Way::In)
                .write(way == Way::Out)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(format!("/proc/self/fd/{}", file.as_raw_fd()));
            if let Ok(file) = again {
                let kind = Kind::Own;
                return Ok(Unblocked { file, kind });
            }
        }
        Self::shared(
            file,
            match is_terminal {
                true => Kind::Terminal,
                false => Kind::Asked,
            },
        )
    }

    fn shared(file: &File, kind: Kind) -> io::Result<Self> {
        let file = file.try_clone()?;
        Ok(Unblocked { file, kind })
    }

    /// Whether poll sees any of `flags`, an error or a hang-up now.
    fn is_ready(&self, flags: PollFlags) -> bool {
        let mut fds = [PollFd::new(self.file.as_fd(), flags)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
    }

    /// Writes a line for a reader, as [`printable`] characters, or as much of it as there is room for: what is
    /// not taken is not said.
    pub fn say(&mut self, line: &str) {
        let text = format!("{}\n", printable(line));
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.write(rest) {
                Ok(count @ 1..) => rest = rest.get(count..).unwrap_or(&[]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

/// As much as there is room for is written; [`ErrorKind::WouldBlock`] when there is no room.
impl Write for Unblocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = match self.kind {
            Kind::Socket => {
                return Ok(send(self.file.as_raw_fd(), bytes, SOCKET_FLAGS)?);
            }
            Kind::Own => return self.file.write(bytes),
            Kind::Port => {
                return match self.file.write(bytes) {
                    Err(error)
                        if error.kind() == ErrorKind::WouldBlock
                            && self.is_ready(PollFlags::empty()) =>
                    {
                        Err(ErrorKind::BrokenPipe.into())
                    }
                    result => result,
                };
            }
            Kind::Terminal => 1,
            Kind::Asked => libc::PIPE_BUF,
        };
        match self.is_ready(PollFlags::POLLOUT) {
            true => self.file.write(&bytes[..bytes.len().min(most)]),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What there is is read; 0 is the end, [`ErrorKind::WouldBlock`] that there is nothing.
impl Read for Unblocked {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Socket => Ok(recv(self.file.as_raw_fd(), bytes, SOCKET_FLAGS)?),
            Kind::Own | Kind::Port => self.file.read(bytes),
            _ if self.is_ready(PollFlags::POLLIN) => self.file.read(bytes),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use nix::pty::openpty;

    use super::*;
    use crate::testing::pipe;

    fn file(fd: impl Into<OwnedFd>) -> File {
        File::from(fd.into())
    }

    /// Writes pieces of several sizes until there is no room; fails if a write waits.
    fn fill(mut out: Unblocked) -> usize {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let mut written = 0;
            let mut refused = 0;
            for size in [4096, 1000, 3000, 100, 1].into_iter().cycle() {
                match out.write(&vec![b'x'; size]) {
                    Ok(count) => {
                        written += count;
                        refused = 0;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        refused += 1;
                    }
                }
                if refused == 5 || written > 16 << 20 {
                    break;
                }
            }
            done.send(written).unwrap();
        });
        let written = is_done
            .recv_timeout(Duration::from_secs(20))
            .expect("a write waits");
        assert!((1..16 << 20).contains(&written), "{written}");
        written
    }

    #[test]
    fn a_terminal_that_nobody_reads_keeps_no_writer_waiting() {
        let pty = openpty(None, None).unwrap();
        let terminal = file(pty.slave);
        fill(Unblocked::new(&terminal, Way::Out).unwrap());
        let flags = nix::fcntl::fcntl(&terminal, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        assert_eq!(
            flags & libc::O_NONBLOCK,
            0,
            "whoever shares it is not to notice"
        );
    }

    #[test]
    fn a_terminal_that_cannot_be_opened_keeps_no_writer_waiting() {
        let pty = openpty(None, None).unwrap();
        fill(Unblocked {
            file: file(pty.slave),
            kind: Kind::Terminal,
        });
    }

    #[test]
    fn a_pipe_and_a_socket_that_nobody_reads_keep_no_writer_waiting() {
        let (_reader, writer) = pipe();
        let writer = file(writer);
        let mut others = writer.try_clone().unwrap();
        // Room that poll tells of and somebody else takes.
        others.write_all(&[b'y'; 60 << 10]).unwrap();
        fill(Unblocked::new(&writer, Way::Out).unwrap());
        let (_reader, writer) = UnixStream::pair().unwrap();
        fill(Unblocked::new(&file(writer), Way::Out).unwrap());
    }

    #[test]
    fn input_comes_as_it_is_there_and_ends() {
        let (reader, writer) = pipe();
        let (socket, peer) = UnixStream::pair().unwrap();
        for (reader, mut writer) in [(file(reader), file(writer)), (file(socket), file(peer))] {
            let mut input = Unblocked::new(&reader, Way::In).unwrap();
            let mut bytes = [0; 16];
            let nothing = input.read(&mut bytes).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
            writer.write_all(b"abc").unwrap();
            assert_eq!(input.read(&mut bytes).unwrap(), 3);
            drop(writer);
            assert_eq!(input.read(&mut bytes).unwrap(), 0);
        }
    }

    #[test]
    fn a_pipe_without_a_reader_is_broken_and_a_file_takes_all() {
        let (reader, writer) = pipe();
        drop(reader);
        // It cannot be opened again, or it can: broken either way.
        let mut out = Unblocked::new(&file(writer), Way::Out).unwrap();
        assert_eq!(out.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let disk = tempfile::tempfile().unwrap();
        let mut out = Unblocked::new(&disk, Way::Out).unwrap();
        out.say("one line");
        assert_eq!(disk.metadata().unwrap().len(), 9);
    }
}
