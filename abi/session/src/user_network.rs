// SPDX-License-Identifier: MIT OR Apache-2.0

//! The user network: what a card has that somebody in user space connects to the host's sockets, QEMU for a machine
//! and passt for a container.
//!
//! Nothing of it is in a network of the host's, since all that the card sends is taken by whoever is behind it. The
//! addresses of IPv4 are QEMU's default ones, of which it is not told; those of IPv6 are local (RFC 4193), and both are
//! told.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bits of [`GATEWAY`]'s network.
pub const PREFIX: u8 = 24;
/// Whoever is behind the card.
pub const GATEWAY: Ipv4Addr = v4(2);
/// Stands for the host's name server.
pub const NAMESERVER: Ipv4Addr = v4(3);
/// A machine.
pub const MACHINE: Ipv4Addr = v4(15);
/// A container that is told no other.
pub const CONTAINER: Ipv4Addr = v4(100);

/// Bits of [`NETWORK_6`].
pub const PREFIX_6: u8 = 64;
/// The network of IPv6.
pub const NETWORK_6: Ipv6Addr = v6(0);
/// As [`GATEWAY`].
pub const GATEWAY_6: Ipv6Addr = v6(2);
/// As [`NAMESERVER`].
pub const NAMESERVER_6: Ipv6Addr = v6(3);
/// As [`MACHINE`].
pub const MACHINE_6: Ipv6Addr = v6(15);
/// As [`CONTAINER`].
pub const CONTAINER_6: Ipv6Addr = v6(0x100);

/// Bytes of a packet at most, both ways: whoever is behind the card ends its connections itself, and large packets
/// take fewer instructions for the same stream. With it, they are the largest that passt takes; it is a multiple of 4.
pub const MTU: u16 = 65_520;

const fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, last)
}

const fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd4c, 0x6b49, 0x3a7e, 0, 0, 0, 0, last)
}
