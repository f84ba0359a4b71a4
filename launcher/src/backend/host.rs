// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the host knows of networks: its addresses, its name servers, whether it reaches others.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use cki_session::IpNet;
use nix::ifaddrs::getifaddrs;

/// An address of one of the host's interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface.
    pub interface: String,
    /// The address with its network.
    pub net: IpNet,
}

/// All addresses of the host, and by which interface.
///
/// # Errors
/// When the kernel does not say.
pub fn addresses() -> io::Result<Vec<Address>> {
    let all = getifaddrs()?.filter_map(|interface| {
        let address = ip(interface.address.as_ref()?)?;
        let mask = interface.netmask.as_ref().and_then(ip);
        let mask = mask.and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
        let prefix = mask.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        Some(Address {
            interface: interface.interface_name,
            net: IpNet::new(address, prefix).ok()?,
        })
    });
    Ok(all.collect())
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

/// Whom the host asks for names.
#[must_use]
pub fn nameservers() -> Vec<IpAddr> {
    parse_resolver(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// The servers in a text such as `/etc/resolv.conf` (resolv.conf(5)).
fn parse_resolver(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then(|| words.next()?.parse().ok())?
        })
        .collect()
}

/// Whether the host has a route to all of IPv6.
#[must_use]
pub fn reaches_ipv6() -> bool {
    has_default_route(&fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default())
}

/// Whether there is a default route in a text such as `/proc/net/ipv6_route`: destination and length of its
/// prefix come first, the interface last. The kernel has one by `lo` that refuses.
fn has_default_route(text: &str) -> bool {
    text.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let everything = words
            .first()
            .is_some_and(|net| net.bytes().all(|digit| digit == b'0'));
        everything && words.get(1) == Some(&"00") && words.last() != Some(&"lo")
    })
}

/// Whether a packet to this address stays on the host, or goes to a group, whatever its routes say.
#[must_use]
pub fn is_special(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.octets()[0] == 0 || address.octets()[0] >= 224
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || mapped(address).is_some()
        }
    }
}

fn mapped(address: &Ipv6Addr) -> Option<IpAddr> {
    address.to_ipv4_mapped().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_its_loopback_address() {
        let all = addresses().unwrap();
        let loopback = Address {
            interface: "lo".to_owned(),
            net: "127.0.0.1/8".parse().unwrap(),
        };
        assert!(all.contains(&loopback), "{all:?}");
    }

    #[test]
    fn name_servers_are_read_and_other_lines_are_not() {
        let text = "# nameserver 1.1.1.1\nsearch a.b\nnameserver 10.0.2.3\nnameserver fec0::3\nnameserver x\n";
        let servers = parse_resolver(text);
        assert_eq!(
            servers,
            ["10.0.2.3", "fec0::3"].map(|text| text.parse::<IpAddr>().unwrap())
        );
    }

    #[test]
    fn a_default_route_that_refuses_is_none() {
        let refuses = format!(
            "{0:032} 00 {0:032} 00 {0:032} ffffffff 1 0 00200200       lo\n",
            0
        );
        assert!(!has_default_route(&refuses));
        let leads = format!(
            "{0:032} 00 {0:032} 00 fe80 00000400 1 0 00000003     eth0\n",
            0
        );
        assert!(has_default_route(&(refuses + &leads)));
        assert!(!has_default_route(
            "fe80 40 0 00 0 00000100 1 0 00000001 eth0\n"
        ));
    }

    #[test]
    fn special_addresses_are_known() {
        for text in [
            "127.9.9.9",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_special(&text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.2.3", "fd00::1", "192.0.2.1"] {
            assert!(!is_special(&text.parse().unwrap()), "{text}");
        }
    }
}
