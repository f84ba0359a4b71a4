// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hops: ports of 127.0.0.1 that QEMU publishes for ports on addresses of IPv6, where it cannot.
//!
//! Every user of this computer may connect to a hop, as to all ports of 127.0.0.1, and reaches the program by it. The
//! program cannot tell such a client from those that we relay, who all come from 127.0.0.1. It is one that could as
//! well connect to the port on its own address, but where a firewall keeps some users from that: it does not keep them
//! from the hop. Nobody else can listen at a hop for as long as QEMU does: its libslirp is ours, and sets no
//! SO_REUSEADDR for UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use cki_session::{Protocol, Publish};

/// Free ports that are looked at, of which the kernel chooses one in many thousands.
const TRIES: usize = 100;

/// Whether QEMU publishes the port itself.
pub(crate) fn is_for_qemu(port: &Publish) -> bool {
    !matches!(port.address, Some(IpAddr::V6(_)))
}

/// That of the ports that QEMU publishes which leads where this one does. There is to be no second: of several that
/// lead to one port of UDP, QEMU sends all answers from one.
pub(crate) fn same_way<'p>(port: &Publish, published: &'p [Publish]) -> Option<&'p Publish> {
    let end = |port: &Publish| (port.protocol, port.container);
    published.iter().find(|other| end(other) == end(port))
}

/// What QEMU is to publish for a port on an address of IPv6. It has another number than all of `others`.
///
/// Until QEMU has it, somebody else may take it. QEMU says so then.
pub(crate) fn hop(port: &Publish, others: &[Publish]) -> io::Result<Publish> {
    for _ in 0..TRIES {
        let host = free(port.protocol)?;
        let is_this = |other: &Publish| (other.protocol, other.host) == (port.protocol, host);
        if !others.iter().any(is_this) {
            return Ok(Publish {
                address: Some(Ipv4Addr::LOCALHOST.into()),
                host,
                ..*port
            });
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Where we reach a port that QEMU publishes.
pub(crate) fn reached_at(port: &Publish) -> SocketAddr {
    let address = port.address.filter(|address| !address.is_unspecified());
    let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
    SocketAddr::new(address, port.host)
}

fn free(protocol: Protocol) -> io::Result<u16> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    let address = match protocol {
        Protocol::Tcp => TcpListener::bind(any)?.local_addr()?,
        Protocol::Udp => UdpSocket::bind(any)?.local_addr()?,
    };
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> Publish {
        text.parse().unwrap()
    }

    #[test]
    fn hops_are_free_and_no_two_are_the_same() {
        let mut others = vec![port("[::1]:8080:80")];
        for _ in 0..256 {
            let next = hop(&others[0], &others).unwrap();
            let way = (next.address, next.container);
            assert_eq!(way, (Some(Ipv4Addr::LOCALHOST.into()), 80));
            assert!(others.iter().all(|other| other.host != next.host));
            others.push(next);
        }
    }

    #[test]
    fn a_port_that_qemu_has_is_reached_where_it_listens() {
        for (publish, at) in [
            ("53:53", "127.0.0.1:53"),
            ("0.0.0.0:53:53", "127.0.0.1:53"),
            ("192.0.2.1:53:53", "192.0.2.1:53"),
        ] {
            assert_eq!(reached_at(&port(publish)), at.parse().unwrap());
        }
        let published = ["80:80/udp", "192.0.2.1:53:53/udp"].map(port);
        let way = |text| same_way(&port(text), &published);
        assert_eq!(way("[::1]:5353:53/udp"), Some(&published[1]));
        assert_eq!(way("[::1]:80:80"), None);
    }
}
