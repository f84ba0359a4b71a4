// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network card of a machine or container, as its init sets it up.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Why a network card cannot be set up so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    /// Packets could not get there.
    #[error("the gateway {0} is in the network of no address, or not the only one")]
    Gateway(IpAddr),
    /// No card takes it.
    #[error("an MTU of {0} bytes is less than IPv6 needs (1280)")]
    Mtu(u16),
    /// It cannot stand in /etc/hosts.
    #[error("{0:?} is no host name")]
    Host(String),
}

/// How init sets up the one network card, `eth0`. Without this in a request, a card stays down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Its addresses, each with the length of its network's prefix (`10.0.2.15/24`).
    pub addresses: Vec<IpNet>,
    /// Where packets for other networks go: at most one of each family, in the network of an address.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Whom programs ask for names, for `/etc/resolv.conf`.
    #[serde(default)]
    pub nameservers: Vec<IpAddr>,
    /// Bytes of a packet at most, as the card can be told (1280 to 65535); without it, the card says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Names for `/etc/hosts`, before those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The name.
    pub name: String,
    /// What it stands for.
    pub address: IpAddr,
}

impl Host {
    /// Reads `NAME:ADDRESS`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || "expected NAME:ADDRESS, such as db:192.0.2.7".to_owned();
        let (name, address) = text.split_once(':').ok_or_else(form)?;
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = Host {
            name: name.to_owned(),
            address: bare.unwrap_or(address).parse().map_err(|_| form())?,
        };
        host.check().map_err(|_| form())?;
        Ok(host)
    }

    pub(crate) fn check(&self) -> Result<(), InterfaceError> {
        if (1..=253).contains(&self.name.len()) && consists_as_a_host_name(&self.name) {
            return Ok(());
        }
        Err(InterfaceError::Host(self.name.clone()))
    }
}

/// Whether all of it can stand in `/etc/hosts`: what host names consist of (RFC 1123 2.1, and `_`).
pub(crate) fn consists_as_a_host_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    name.bytes().all(fits)
}

/// The least and the largest MTU: what IPv6 needs (RFC 8200 5), what a length field holds.
const MTU: std::ops::RangeInclusive<u16> = 1280..=u16::MAX;

impl Interface {
    /// As [`Run::check`](crate::Run::check).
    pub(crate) fn check(&self) -> Result<(), InterfaceError> {
        for gateway in &self.gateways {
            let of_family = |other: &&IpAddr| other.is_ipv4() == gateway.is_ipv4();
            let reachable = self.addresses.iter().any(|net| net.contains(gateway));
            if !reachable || self.gateways.iter().filter(of_family).count() > 1 {
                return Err(InterfaceError::Gateway(*gateway));
            }
        }
        if let Some(mtu) = self.mtu.filter(|mtu| !MTU.contains(mtu)) {
            return Err(InterfaceError::Mtu(mtu));
        }
        self.hosts.iter().try_for_each(Host::check)
    }
}
