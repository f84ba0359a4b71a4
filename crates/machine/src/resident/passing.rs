// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages on a socket, with open files beside them (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use cki_session::{Incoming, encode};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Files that come with a message, at most: the sockets of volumes.
const FILES_MAX: usize = cki_session::Volume::MOST;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct MessageSocket {
    socket: UnixStream,
    incoming: Incoming,
}

fn nonsense(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Sends bytes, and files with the first of them.
pub(super) fn send(
    mut socket: &UnixStream,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !buffer.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(nonsense("too many files for a message"));
    }
    let sent = loop {
        let bytes = [IoSlice::new(bytes)];
        match sendmsg(socket, &bytes, &mut buffer, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            sent => break sent?,
        }
    };
    socket.write_all(&bytes[sent..])
}

impl MessageSocket {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            incoming: Incoming::default(),
        }
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// The socket, to be used otherwise.
    pub(super) fn into_socket(self) -> UnixStream {
        self.socket
    }

    /// Says something.
    pub(super) fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.socket.write_all(&encode(message).map_err(nonsense)?)
    }

    /// Says something, and hands files over with it.
    pub(super) fn hand_over(
        &mut self,
        message: &impl Serialize,
        files: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        send(&self.socket, &encode(message).map_err(nonsense)?, files)
    }

    /// What is said next; `None` at the end.
    pub(super) fn hear<M: DeserializeOwned>(&mut self) -> io::Result<Option<M>> {
        let mut files = Vec::new();
        self.receive(&mut files)
    }

    /// As [`MessageSocket::hear`], with the files that come with it.
    pub(super) fn receive<M: DeserializeOwned>(
        &mut self,
        files: &mut Vec<OwnedFd>,
    ) -> io::Result<Option<M>> {
        loop {
            if let Some(message) = self.incoming.message().map_err(nonsense)? {
                return Ok(Some(message));
            }
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
            let mut buffer = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut buffer,
                RecvFlags::CMSG_CLOEXEC,
            );
            let received = match received {
                Err(rustix::io::Errno::INTR) => continue,
                received => received?,
            };
            for message in buffer.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    files.extend(rights);
                }
            }
            if files.len() > FILES_MAX {
                return Err(nonsense("too many files with a message"));
            }
            if received.bytes == 0 {
                return Ok(None);
            }
            self.incoming.push(&bytes[..received.bytes]);
        }
    }

    /// Says no more.
    pub(super) fn end(&self) {
        // It fails where the other side has gone.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Waits until the other side has closed the connection, whatever it says until then.
    pub(super) fn wait_for_end(&mut self) {
        let mut bytes = [0; 256];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

impl AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Answer, Ask};
    use super::*;

    #[test]
    fn files_come_with_their_message() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ours, mut theirs) = (MessageSocket::new(ours), MessageSocket::new(theirs));
        ours.say(&Ask::Status).unwrap();
        assert_eq!(theirs.hear().unwrap(), Some(Ask::Status));
        let (mut file, other) = UnixStream::pair().unwrap();
        let leased = Answer::Leased {
            serial: None,
            volumes: Vec::new(),
            emulator: 7,
            number: 1,
        };
        theirs.hand_over(&leased, &[other.as_fd()]).unwrap();
        drop((other, theirs));
        let mut files = Vec::new();
        assert_eq!(ours.receive(&mut files).unwrap(), Some(leased));
        let mut received = UnixStream::from(files.pop().unwrap());
        file.write_all(b"x").unwrap();
        let mut byte = [0];
        received.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert_eq!(ours.hear::<Answer>().unwrap(), None);
    }
}
