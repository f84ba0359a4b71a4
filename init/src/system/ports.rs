// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtio-serial ports, found by the names that the host gave them.
//!
//! `/sys/class/virtio-ports/vport0p1/name` holds the name of `/dev/vport0p1`
//! (Linux `drivers/char/virtio_console.c`). Names arrive by control messages some time after the
//! device itself, so the ports of a session are waited for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How long the host may take to offer and connect its ports.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at sysfs, which has no event for a name that arrives.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A port of the session that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The machine has no port of that name.
    #[error("the machine has no virtio-serial port called {0}")]
    Missing(String),
    /// The port is there but cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// Its device file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The device name (`vport0p1`) of the port called `name`, looked up below `sysfs`.
///
/// `None` when there is no such port, or its name has not arrived yet.
#[must_use]
pub fn find(sysfs: &Path, name: &str) -> Option<String> {
    let ports = fs::read_dir(sysfs.join("class/virtio-ports")).ok()?;
    for port in ports.flatten() {
        let found = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        if found.trim_end_matches('\n') == name {
            return port.file_name().into_string().ok();
        }
    }
    None
}

/// Opens the port called `name`, non-blocking, waiting for it to appear.
///
/// # Errors
/// [`PortError`] when it does not appear in ten seconds or cannot be opened.
pub fn open(sysfs: &Path, dev: &Path, name: &str) -> Result<File, PortError> {
    let started = Instant::now();
    let device = loop {
        if let Some(device) = find(sysfs, name) {
            break device;
        }
        if started.elapsed() > PATIENCE {
            return Err(PortError::Missing(name.to_owned()));
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    open_device(&dev.join(device))
}

/// Opens a port by its device file, non-blocking.
///
/// # Errors
/// [`PortError::Open`].
pub fn open_device(path: &Path) -> Result<File, PortError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(|source| PortError::Open {
        path: path.to_owned(),
        source,
    })
}

/// Waits at most `patience` until the host end of `port` is connected.
///
/// The kernel learns that by a message of its own after the name, and until then a read gives end
/// of file. A host that has closed its end already looks the same: that is what `false` means.
#[must_use]
pub fn is_connected(port: impl AsFd, patience: Duration) -> bool {
    let started = Instant::now();
    loop {
        let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO).is_ok() {
            let seen = fds[0].revents().unwrap_or(PollFlags::empty());
            if !seen.contains(PollFlags::POLLHUP) {
                return true;
            }
        }
        if started.elapsed() > patience {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Waits until somebody connects the host end of `port`, however long that takes.
///
/// # Errors
/// Those of epoll.
pub fn wait_for_host(port: impl AsFd) -> io::Result<()> {
    // A port without a host is hung up, which level-triggered polling would say again and again.
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
    epoll.add(&port, EpollEvent::new(flags, 0))?;
    let mut events = [EpollEvent::empty()];
    loop {
        match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(1..) if !events[0].events().contains(EpollFlags::EPOLLHUP) => return Ok(()),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(ports: &[(&str, Option<&str>)]) -> tempfile::TempDir {
        let sysfs = tempfile::tempdir().unwrap();
        for (device, name) in ports {
            let port = sysfs.path().join("class/virtio-ports").join(device);
            fs::create_dir_all(&port).unwrap();
            if let Some(name) = name {
                fs::write(port.join("name"), format!("{name}\n")).unwrap();
            }
        }
        sysfs
    }

    #[test]
    fn a_port_is_found_by_its_whole_name() {
        let sysfs = machine(&[
            ("vport0p1", Some("org.cki.stdout")),
            ("vport0p2", Some("org.cki.std")),
        ]);
        let found = find(sysfs.path(), "org.cki.std");
        assert_eq!(found.as_deref(), Some("vport0p2"));
    }

    #[test]
    fn a_port_whose_name_has_not_arrived_is_not_found() {
        let sysfs = machine(&[("vport0p1", None)]);
        assert_eq!(find(sysfs.path(), "org.cki.control"), None);
    }

    #[test]
    fn a_machine_without_virtio_serial_has_no_ports() {
        assert_eq!(find(machine(&[]).path(), "org.cki.control"), None);
    }

    #[test]
    fn a_connected_peer_is_told_from_one_that_hung_up() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(is_connected(&here, Duration::ZERO));
        drop(there);
        assert!(!is_connected(&here, Duration::from_millis(5)));
    }
}
