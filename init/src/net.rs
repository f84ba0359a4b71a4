// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loopback interface.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Brings `lo` up, with the addresses 127.0.0.1 and ::1 that the kernel then gives it. Any socket will do to
/// ask for that, also on a kernel that has no Internet protocols.
///
/// # Errors
/// Those of the ioctl (netdevice(7), SIOCSIFFLAGS), as when the caller is not root.
pub fn raise_loopback() -> io::Result<()> {
    let any: OwnedFd = socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    set_flags(any.as_fd(), *b"lo", libc::IFF_UP | libc::IFF_RUNNING)
}

fn set_flags<const N: usize>(
    socket: impl AsFd,
    name: [u8; N],
    flags: libc::c_int,
) -> io::Result<()> {
    const { assert!(N < libc::IFNAMSIZ) };
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: flags as libc::c_short,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = from as libc::c_char;
    }
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which `request` is: its name is NUL-terminated (N is
    // less than IFNAMSIZ, the rest is zero) and it outlives the call. The descriptor is open.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS, &request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_does_not_exist_is_refused() {
        let any = socket(
            AddressFamily::Unix,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        let error = set_flags(any, *b"cki-none", libc::IFF_UP).unwrap_err();
        // ENODEV for root; EPERM for others, whom the kernel does not tell.
        assert!(
            matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM)),
            "{error}"
        );
    }
}
