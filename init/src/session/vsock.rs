// SPDX-License-Identifier: MIT OR Apache-2.0

//! Connections from the host of a container (vsock(7)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, getpeername, listen,
    socket,
};

/// What the host is called.
const HOST: u32 = libc::VMADDR_CID_HOST;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// A port that the host may connect to.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Listens at `port`, non-blocking.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` when the kernel knows no vsock; others of the system calls.
    pub fn new(port: u32) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
        let address = VsockAddr::new(libc::VMADDR_CID_ANY, port);
        bind(listener.as_raw_fd(), &address)?;
        listen(&listener, Backlog::new(BACKLOG)?)?;
        Ok(Listener(listener))
    }

    /// A connection that has come from the host, non-blocking, and the port of its other end. `None` when there is none
    /// now. One that came from inside is closed: whoever is in the container already gets no more rights this way. So
    /// many of these at a time, and not until there are none: they may come faster than they are closed.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn accept(&self) -> io::Result<Option<(File, u32)>> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        for _ in 0..BACKLOG {
            let accepted = match accept4(self.0.as_raw_fd(), flags) {
                Ok(accepted) => accepted,
                Err(nix::errno::Errno::EAGAIN) => return Ok(None),
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::ECONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            // SAFETY: the descriptor is new and nobody else's.
            let connection = unsafe { OwnedFd::from_raw_fd(accepted) };
            // One that has ended meanwhile has no peer any more.
            match getpeername::<VsockAddr>(connection.as_raw_fd()) {
                Ok(peer) if peer.cid() == HOST => {
                    return Ok(Some((File::from(connection), peer.port())));
                }
                _ => drop(connection),
            }
        }
        Ok(None)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
