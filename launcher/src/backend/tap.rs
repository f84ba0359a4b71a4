// SPDX-License-Identifier: MIT OR Apache-2.0

//! A TAP interface of the host, on a bridge.
//!
//! The interface goes when its descriptor is closed. With frames come virtio's own headers, so that checksums
//! and segments are left to whoever needs them (`IFF_VNET_HDR`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::virtio::link::{FRAME_MAX, HEADER, Header, Link};

/// The interface cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// No interface has the name.
    #[error("the host has no interface {0}: make the bridge first (ip link add {0} type bridge)")]
    NoInterface(String),
    /// It is another kind of interface.
    #[error("the host's interface {0} is no bridge")]
    NoBridge(String),
    /// The kernel has no such devices.
    #[error("the host's kernel has no TAP interfaces (/dev/net/tun): {0}")]
    Device(io::Error),
    /// Not for everybody.
    #[error(
        "connecting a container to a bridge takes the capability CAP_NET_ADMIN: run cki as root, or take --network user"
    )]
    Permission,
    /// Anything else.
    #[error("cannot {what}: {source}")]
    Step {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// A TAP interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    mtu: u16,
    packet: Box<[u8]>,
    /// Bytes of `packet` that were read and not consumed.
    length: usize,
    over: bool,
}

impl Tap {
    /// An interface on the host's bridge `bridge`.
    ///
    /// # Errors
    /// [`TapError`].
    pub fn on(bridge: &str) -> Result<Self, TapError> {
        let interface = Path::new("/sys/class/net").join(bridge);
        if !interface.exists() {
            return Err(TapError::NoInterface(bridge.to_owned()));
        }
        if !interface.join("bridge").exists() {
            return Err(TapError::NoBridge(bridge.to_owned()));
        }
        let mtu = fs::read_to_string(interface.join("mtu")).unwrap_or_default();
        let mtu = mtu.trim().parse().unwrap_or(1500);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => TapError::Permission,
                _ => TapError::Device(error),
            })?;
        let name = ioctl::make(&file).map_err(step("make a TAP interface"))?;
        ioctl::set_up(&file).map_err(step("set up a TAP interface"))?;
        let any = socket(
            AddressFamily::Unix,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .map_err(|error| step("make a socket")(error.into()))?;
        let text = String::from_utf8_lossy(&name);
        let index = if_nametoindex(text.trim_end_matches('\0'))
            .map_err(|error| step("find a TAP interface")(error.into()))?;
        ioctl::set_mtu(&any, &name, mtu).map_err(step("set the MTU of a TAP interface"))?;
        ioctl::join(&any, bridge, index).map_err(step("connect a TAP interface to the bridge"))?;
        ioctl::raise(&any, &name).map_err(step("bring a TAP interface up"))?;
        Ok(Tap {
            file,
            mtu,
            packet: vec![0; HEADER + FRAME_MAX].into(),
            length: 0,
            over: false,
        })
    }
}

fn step(what: &'static str) -> impl Fn(io::Error) -> TapError {
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied => TapError::Permission,
        _ => TapError::Step { what, source },
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Link for Tap {
    fn offloads(&self) -> bool {
        true
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn has_room(&self) -> bool {
        true
    }

    fn send(&mut self, header: &Header, frame: &[u8]) {
        let parts = [IoSlice::new(header), IoSlice::new(frame)];
        // The kernel takes a frame whole, or refuses one that makes no sense or that it has no memory for: then it is
        // lost, as on a wire. Nothing waits for room: the interface drops what it has no room for, and says it took it.
        let sent = self.file.write_vectored(&parts);
        self.over |= sent.is_err_and(|error| error.raw_os_error() == Some(libc::EBADFD));
    }

    fn flush(&mut self) -> bool {
        false
    }

    fn frame(&mut self) -> Option<(Header, &[u8])> {
        if self.length == 0 {
            self.length = match self.file.read(&mut self.packet) {
                Ok(length) => length,
                Err(error) => {
                    // The interface was removed.
                    self.over |= error.raw_os_error() == Some(libc::EBADFD);
                    return None;
                }
            };
        }
        let (header, frame) = self.packet[..self.length].split_first_chunk::<HEADER>()?;
        Some((*header, frame))
    }

    fn consume(&mut self) {
        self.length = 0;
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// The requests of netdevice(7) and of `linux/if_tun.h`.
mod ioctl {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};

    use libc::{c_int, c_short, c_ulong, ifreq};

    use crate::virtio::link::HEADER;

    /// An interface's name as the kernel has it.
    pub type Name = [u8; libc::IFNAMSIZ];

    const TUNSETIFF: c_ulong = 0x4004_54ca;
    const TUNSETOFFLOAD: c_ulong = 0x4004_54d0;
    const TUNSETVNETHDRSZ: c_ulong = 0x4004_54d8;
    /// Checksums, segments of TCP over IPv4 and IPv6: what the card's driver takes (`TUN_F_*`).
    const OFFLOADS: c_ulong = 1 | 2 | 4;

    fn request(name: &[u8]) -> ifreq {
        let mut request = ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
        };
        // One byte is left for the NUL at the end.
        for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        request
    }

    fn call(file: impl AsFd, number: c_ulong, request: &mut ifreq) -> io::Result<()> {
        // SAFETY: all numbers that are used here read or write one ifreq, which `request` is: its name ends
        // with a NUL, and it outlives the call. The descriptor is open.
        let result = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), number, request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Makes an interface with a name of the kernel's choice.
    pub fn make(file: &File) -> io::Result<Name> {
        let mut request = request(b"cki%d");
        request.ifr_ifru.ifru_flags =
            (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short;
        call(file, TUNSETIFF, &mut request)?;
        Ok(request.ifr_name.map(|byte| byte as u8))
    }

    /// Has frames come with a header of virtio's, and without checksums and in large segments.
    pub fn set_up(file: &File) -> io::Result<()> {
        let size = HEADER as c_int;
        // SAFETY: the request reads an int, which outlives the call. The descriptor is open.
        if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETVNETHDRSZ, &size) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the argument is a number. The descriptor is open.
        if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETOFFLOAD, OFFLOADS) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Sets the MTU.
    pub fn set_mtu(socket: impl AsFd, name: &Name, mtu: u16) -> io::Result<()> {
        let mut request = request(name);
        request.ifr_ifru.ifru_mtu = mtu.into();
        call(socket, libc::SIOCSIFMTU, &mut request)
    }

    /// Connects an interface to a bridge.
    pub fn join(socket: impl AsFd, bridge: &str, interface: u32) -> io::Result<()> {
        const SIOCBRADDIF: c_ulong = 0x89a2;
        let mut request = request(bridge.as_bytes());
        request.ifr_ifru.ifru_ifindex = interface as c_int;
        call(socket, SIOCBRADDIF, &mut request)
    }

    /// Brings an interface up.
    pub fn raise(socket: impl AsFd, name: &Name) -> io::Result<()> {
        let mut request = request(name);
        request.ifr_ifru.ifru_flags = libc::IFF_UP as c_short;
        call(socket, libc::SIOCSIFFLAGS, &mut request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bridge_is_refused_by_name() {
        let error = Tap::on("cki-none").unwrap_err();
        assert!(matches!(error, TapError::NoInterface(_)), "{error}");
        assert!(error.to_string().contains("cki-none"), "{error}");
        let error = Tap::on("lo").unwrap_err();
        assert!(matches!(error, TapError::NoBridge(_)), "{error}");
    }

    #[test]
    fn a_step_that_is_not_permitted_says_what_it_takes() {
        let error = step("x")(io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(error.contains("CAP_NET_ADMIN"), "{error}");
    }
}
