// SPDX-License-Identifier: MIT OR Apache-2.0

//! The way to the file-system process of a volume (`crates/volume`): a stream of FUSE messages, a socket or a
//! virtio-serial port. The process is not trusted: what it sends is bounded, and judged by the device.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use cki_volume::message::{MESSAGE_MAX, REPLY_HEADER, length};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::virtio::fs::{Link, LinkEnded};

/// A stream.
#[derive(Debug)]
pub struct Stream {
    file: File,
    epoll: Epoll,
    /// The rest of a request that is on its way.
    request: Vec<u8>,
    /// Bytes of it that have been sent.
    sent: usize,
    /// Room for a reply, and the bytes of it that have come.
    reply: Box<[u8]>,
    come: usize,
    ended: bool,
}

impl Stream {
    /// Takes over an open stream.
    ///
    /// # Errors
    /// Those of `fcntl(2)` and `epoll_create(2)`.
    pub fn new(file: File) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&file, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Stream {
            file,
            epoll,
            request: Vec::with_capacity(MESSAGE_MAX),
            sent: 0,
            reply: vec![0; MESSAGE_MAX].into(),
            come: 0,
            ended: false,
        })
    }

    fn wait_for(&self, flags: EpollFlags) {
        // It is registered, so this does not fail.
        let _ = self
            .epoll
            .modify(&self.file, &mut EpollEvent::new(flags, 0));
    }

    /// Nobody is there any more, or somebody who says what cannot be.
    fn over(&mut self) -> LinkEnded {
        if !std::mem::replace(&mut self.ended, true) {
            // It would be readable for ever.
            let _ = self.epoll.delete(&self.file);
        }
        LinkEnded
    }

    /// Sends what is left of the request.
    fn flush(&mut self) -> Result<(), LinkEnded> {
        let waited = self.sent < self.request.len();
        while self.sent < self.request.len() {
            match self.file.write(&self.request[self.sent..]) {
                Ok(0) => return Err(self.over()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait_for(EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT);
                    return Ok(());
                }
                Err(_) => return Err(self.over()),
            }
        }
        if waited {
            self.wait_for(EpollFlags::EPOLLIN);
        }
        Ok(())
    }

    /// Reads until `wanted` bytes of a reply have come; whether they have.
    fn fill(&mut self, wanted: usize) -> Result<bool, LinkEnded> {
        while self.come < wanted {
            match self.file.read(&mut self.reply[self.come..wanted]) {
                Ok(0) => return Err(self.over()),
                Ok(count) => self.come += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(self.over()),
            }
        }
        Ok(true)
    }
}

impl Link for Stream {
    fn source(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    fn send(&mut self, request: &[u8]) -> Result<bool, LinkEnded> {
        if self.ended {
            return Err(LinkEnded);
        }
        self.flush()?;
        if self.sent < self.request.len() {
            return Ok(false);
        }
        self.request.clear();
        self.request.extend(request);
        self.sent = 0;
        self.flush()?;
        Ok(true)
    }

    fn receive(&mut self, reply: &mut Vec<u8>) -> Result<bool, LinkEnded> {
        if self.ended {
            return Err(LinkEnded);
        }
        self.flush()?;
        if !self.fill(REPLY_HEADER)? {
            return Ok(false);
        }
        let Some(length) = length(&self.reply, REPLY_HEADER) else {
            return Err(self.over());
        };
        if !self.fill(length)? {
            return Ok(false);
        }
        reply.clear();
        reply.extend_from_slice(&self.reply[..length]);
        self.come = 0;
        Ok(true)
    }

    fn end(&mut self) {
        self.over();
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use cki_volume::message::failure;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn stream() -> (Stream, UnixStream) {
        let (ours, its) = UnixStream::pair().unwrap();
        (Stream::new(OwnedFd::from(ours).into()).unwrap(), its)
    }

    fn is_readable(stream: &Stream) -> bool {
        let mut fds = [PollFd::new(stream.source(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn replies_are_given_whole_however_they_come() {
        let (mut stream, mut its) = stream();
        let bytes = [failure(1, 5), failure(2, 6)].concat();
        let mut replies = Vec::new();
        let mut reply = Vec::new();
        for byte in bytes {
            assert!(!stream.receive(&mut reply).unwrap());
            assert!(!is_readable(&stream));
            its.write_all(&[byte]).unwrap();
            assert!(is_readable(&stream));
            if stream.receive(&mut reply).unwrap() {
                replies.push(reply.clone());
            }
        }
        assert_eq!(replies, [failure(1, 5), failure(2, 6)]);
    }

    #[test]
    fn a_request_that_is_not_taken_at_once_is_sent_when_there_is_room() {
        let (mut stream, mut its) = stream();
        let request = vec![7; MESSAGE_MAX];
        let mut taken = 0;
        while stream.send(&request).unwrap() {
            taken += 1;
            assert!(taken < 1000, "the socket has no end");
        }
        assert!(!is_readable(&stream));
        let mut got = 0;
        let mut bytes = vec![0; MESSAGE_MAX];
        its.set_nonblocking(true).unwrap();
        let mut reply = Vec::new();
        while got < taken * MESSAGE_MAX {
            match its.read(&mut bytes) {
                Ok(count) => got += count,
                Err(_) => {
                    assert!(is_readable(&stream), "{got}");
                    assert!(!stream.receive(&mut reply).unwrap());
                }
            }
        }
        assert_eq!(got, taken * MESSAGE_MAX);
        assert!(!is_readable(&stream));
    }

    #[test]
    fn an_end_is_said_once_it_is_seen_and_waited_for_no_longer() {
        let (mut stream, its) = stream();
        drop(its);
        assert!(is_readable(&stream));
        assert_eq!(stream.receive(&mut Vec::new()), Err(LinkEnded));
        assert_eq!(stream.send(&[0; 40]), Err(LinkEnded));
        assert!(!is_readable(&stream));
    }

    #[test]
    fn a_reply_of_an_impossible_length_ends_the_volume() {
        for length in [0, 15, MESSAGE_MAX as u32 + 1, u32::MAX] {
            let (mut stream, mut its) = stream();
            its.write_all(&[&length.to_le_bytes()[..], &[0; 12]].concat())
                .unwrap();
            assert_eq!(stream.receive(&mut Vec::new()), Err(LinkEnded), "{length}");
            assert_eq!(stream.receive(&mut Vec::new()), Err(LinkEnded), "{length}");
        }
    }
}
