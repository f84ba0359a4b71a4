// SPDX-License-Identifier: MIT OR Apache-2.0

//! The service manager that started us, if it wants to hear when the program runs (sd_notify(3)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where a service manager says which socket it listens at.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// The socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell the service manager at {VARIABLE}={}: {source}", std::path::Path::new(.socket).display())]
pub struct ServiceManagerError {
    socket: OsString,
    source: io::Error,
}

/// A service manager that listens.
#[derive(Debug)]
pub struct ServiceManager(UnixDatagram);

impl ServiceManager {
    /// The one that our environment names. To be called before the jail, which allows no sockets to be made.
    ///
    /// # Errors
    /// [`ServiceManagerError`] when nobody listens there.
    pub fn of_environment() -> Result<Option<Self>, ServiceManagerError> {
        match std::env::var_os(VARIABLE) {
            Some(socket) if !socket.is_empty() => Self::at(&socket).map(Some),
            _ => Ok(None),
        }
    }

    /// The one at `socket`: a path, or `@` and a name of the abstract namespace.
    fn at(socket: &OsStr) -> Result<Self, ServiceManagerError> {
        let connect = || {
            let address = match socket.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                [b'/', ..] => SocketAddr::from_pathname(socket)?,
                _ => return Err(io::Error::other("expected a path, or @ and a name")),
            };
            let datagrams = UnixDatagram::unbound()?;
            datagrams.set_nonblocking(true)?;
            datagrams.connect_addr(&address)?;
            Ok(datagrams)
        };
        let failed = |source| ServiceManagerError {
            socket: socket.to_owned(),
            source,
        };
        connect().map(ServiceManager).map_err(failed)
    }

    /// Says that the program runs. A manager that does not listen any more does not keep it from running.
    pub fn ready(&self) {
        // By write(2), which the jail knows.
        let _ = nix::unistd::write(&self.0, b"READY=1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let count = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn a_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        ServiceManager::at(path.as_os_str()).unwrap().ready();
        assert_eq!(heard(&manager), "READY=1");

        let name = format!("cki-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let socket = format!("@{name}");
        ServiceManager::at(socket.as_ref()).unwrap().ready();
        assert_eq!(heard(&manager), "READY=1");
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_named() {
        for socket in ["/nonexistent/notify", "@cki-nobody", "notify", "vsock:2:1"] {
            let error = ServiceManager::at(socket.as_ref()).unwrap_err().to_string();
            assert!(error.contains(socket), "{error}");
        }
    }

    #[test]
    fn a_manager_that_has_gone_is_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let service_manager = ServiceManager::at(path.as_os_str()).unwrap();
        drop(manager);
        service_manager.ready();
    }
}
