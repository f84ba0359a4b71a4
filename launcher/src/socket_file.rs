// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file of a Unix socket, in a directory that may be another user's: found once, and connected to as what was
//! found.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// A socket that was found. What is put in its place later is another one.
#[derive(Debug)]
pub struct SocketFile(File);

impl SocketFile {
    /// What is at this path; nothing if it is no socket. A link is none, wherever it leads.
    ///
    /// # Errors
    /// When nothing is there, or it cannot be looked at.
    pub fn find(path: &Path) -> io::Result<Option<Self>> {
        let found = File::options()
            .read(true)
            .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
            .open(path)?;
        let is_socket = found.metadata()?.file_type().is_socket();
        Ok(is_socket.then_some(SocketFile(found)))
    }

    /// A connection to whoever listens, that does not block; an error, and no wait, when too many wait for that one
    /// already.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(&self) -> io::Result<UnixStream> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect_by(&socket, &format!("/proc/self/fd/{}", self.0.as_raw_fd()))?;
        Ok(UnixStream::from(socket))
    }
}

/// Connects to what an open file's path below `/proc` names. The file is there: a path that is not means that `/proc`
/// is not mounted, and waiting does not mend that.
fn connect_by(socket: &OwnedFd, path: &str) -> io::Result<()> {
    let connected = connect(socket.as_raw_fd(), &UnixAddr::new(path)?);
    connected.map_err(|error| match error {
        Errno::ENOENT => io::Error::other("there is no /proc here, which connecting takes"),
        error => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn where_there_is_no_proc_nothing_is_waited_for() {
        let of_unix = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::empty(),
            None,
        );
        let error = connect_by(&of_unix.unwrap(), "/nosuch/self/fd/3").unwrap_err();
        // One that is not there yet is waited for.
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert!(error.to_string().contains("/proc"), "{error}");
    }

    #[test]
    fn a_link_or_a_file_is_no_socket() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let _listens = UnixListener::bind(at("socket")).unwrap();
        symlink("socket", at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for name in ["link", "file"] {
            assert!(SocketFile::find(&at(name)).unwrap().is_none(), "{name}");
        }
        let socket = SocketFile::find(&at("socket")).unwrap().unwrap();
        socket.connect().unwrap();
        let error = SocketFile::find(&at("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_takes_its_place_meanwhile_is_not_connected_to() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let _others = UnixListener::bind(at("others")).unwrap();
        drop(UnixListener::bind(at("left")).unwrap());
        let left = SocketFile::find(&at("left")).unwrap().unwrap();
        std::fs::remove_file(at("left")).unwrap();
        symlink("others", at("left")).unwrap();
        let error = left.connect().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
