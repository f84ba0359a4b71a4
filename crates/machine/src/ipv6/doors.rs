// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sockets on IPv6 of published ports.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use cki_session::{Protocol, Publish};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

/// Clients that may wait until they are taken; the kernel has a limit of its own (`net.core.somaxconn`).
const WAITING: i32 = 4096;

/// A socket on IPv6 that clients of a published port come to.
#[derive(Debug)]
pub(crate) enum Door {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Door {
    /// That of a published port. There is none if it has an address of IPv4, or if it has no address, so that it is
    /// published on all that there are, and there is no IPv6 here.
    pub(crate) fn open(port: &Publish) -> io::Result<Option<Self>> {
        let opened = match port.address {
            Some(IpAddr::V4(_)) => return Ok(None),
            Some(IpAddr::V6(address)) => Self::on(address, port),
            None => Self::on(Ipv6Addr::UNSPECIFIED, port),
        };
        match opened {
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if port.address.is_none() => Ok(None),
            Err(error) => Err(error.into()),
            Ok(door) => Ok(Some(door)),
        }
    }

    fn on(address: Ipv6Addr, port: &Publish) -> Result<Self, Errno> {
        let kind = match port.protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket: OwnedFd = socket_with(AddressFamily::INET6, kind, flags, None)?;
        // The same port of IPv4 is QEMU's.
        sockopt::set_ipv6_v6only(&socket, true)?;
        let at = SocketAddrV6::new(address, port.host, 0, 0);
        match port.protocol {
            Protocol::Tcp => {
                // Connections of an earlier listener that linger keep nobody from listening.
                sockopt::set_socket_reuseaddr(&socket, true)?;
                bind(&socket, &at)?;
                listen(&socket, WAITING)?;
                Ok(Self::Tcp(socket.into()))
            }
            Protocol::Udp => {
                bind(&socket, &at)?;
                Ok(Self::Udp(socket.into()))
            }
        }
    }
}
