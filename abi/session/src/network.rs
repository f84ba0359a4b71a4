// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network of a container: what its card is connected to.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::interface::{Host, InterfaceError};
use crate::rate::NetworkRates;

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No interface can be called so.
    #[error("{0:?} cannot be the name of a bridge")]
    BridgeName(String),
    /// Nobody gives out addresses on a bridge.
    #[error(
        "a container on a bridge needs an address: give one with --ip, such as --ip 10.1.0.7/24"
    )]
    NoAddress,
    /// On a bridge, whoever is there reaches every port.
    #[error("the port {0} cannot be published from a bridge, where every port is reached")]
    PublishOnBridge(Publish),
    /// A port leads to one place.
    #[error("the port {0} of the host is published twice")]
    PublishedTwice(u16),
    /// More than anybody takes.
    #[error("{0} ports cannot be published: {PORTS_MAX} at most")]
    TooMany(usize),
    /// A name for `/etc/hosts`.
    #[error(transparent)]
    Host(#[from] InterfaceError),
}

/// What a container's network card is connected to. Without this in a request, it has no card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What is behind the card.
    pub link: Link,
    /// Ports of the host that lead into the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// The container's address, instead of the launcher's choice. On a bridge, there has to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpNet>,
    /// Whom programs ask for names, instead of whom the host asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
    /// Names for `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// If given, the only networks that packets of the container go to, besides its name servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<IpNet>>,
    /// How fast it may be.
    #[serde(default, skip_serializing_if = "NetworkRates::is_empty")]
    pub rates: NetworkRates,
}

/// What is behind a container's network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Sockets of the host, by a process in user space: the container connects to what the host reaches,
    /// but neither to the host's loopback nor to other containers; nobody connects to it but by
    /// [`Network::publish`].
    User,
    /// A bridge of the host, by this name, with everything else that is on it.
    Bridge(String),
}

/// What a user asks a network card to be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Connection {
    /// Nothing: there is no card.
    None,
    /// As [`Link::User`].
    #[default]
    User,
    /// As [`Link::Bridge`].
    Bridge(String),
}

impl Connection {
    /// What is behind the card, if there is one.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        match self {
            Self::None => None,
            Self::User => Some(Link::User),
            Self::Bridge(name) => Some(Link::Bridge(name.clone())),
        }
    }
}

impl FromStr for Connection {
    type Err = String;

    /// Reads `none`, `user` or `bridge=NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("bridge=")) {
            ("none", _) => Ok(Self::None),
            ("user", _) => Ok(Self::User),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Bridge(name.to_owned())),
            _ => Err("expected user, none, or bridge=NAME".to_owned()),
        }
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of the host that leads into the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host's address to listen on; without one, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The container's.
    pub container: u16,
}

/// Most ports that are published for one program: each takes a descriptor or two of the emulator's and of passt's.
pub const PORTS_MAX: usize = 256;

impl Publish {
    /// Reads `[IP:]HOST:CONTAINER[/udp]`, an IPv6 address in brackets, where both ports may be ranges of as many, such
    /// as `8000-8010`: the first of the one leads to the first of the other.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let form = || {
            "expected [IP:]HOST:CONTAINER[/udp], such as 8080:80, 8000-8010:8000-8010 or 127.0.0.1:53:53/udp"
                .to_owned()
        };
        let (ports, protocol) = match text.rsplit_once('/') {
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some(_) => return Err(form()),
            None => (text, Protocol::Tcp),
        };
        let (rest, container) = ports.rsplit_once(':').ok_or_else(form)?;
        let (address, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((address, host)) => {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                let address = bare.unwrap_or(address).parse().map_err(|_| form())?;
                (Some(address), host)
            }
        };
        let (host, container) = (range(host)?, range(container)?);
        if host.len() != container.len() {
            return Err(format!(
                "{} ports cannot lead to {}: the two ranges have to be of one length",
                host.len(),
                container.len()
            ));
        }
        let publish = |(host, container)| Self {
            protocol,
            address,
            host,
            container,
        };
        Ok(host.zip(container).map(publish).collect())
    }
}

/// Reads a port, or a range of them.
fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
        Ok(port) => Ok(port),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = port(first)?..=port(last)?;
    match range.is_empty() {
        true => Err(format!("{text} is no range of ports: it goes down")),
        false => Ok(range),
    }
}

impl FromStr for Publish {
    type Err = String;

    /// As [`Publish::parse_all`], of one port.
    fn from_str(text: &str) -> Result<Self, String> {
        match Self::parse_all(text)?[..] {
            [port] => Ok(port),
            _ => Err("expected one port, no range".to_owned()),
        }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(formatter, "{address}:")?,
            None => {}
        }
        write!(
            formatter,
            "{}:{}/{}",
            self.host, self.container, self.protocol
        )
    }
}

impl Network {
    /// The network that a container gets when nothing else is asked for.
    #[must_use]
    pub const fn user() -> Self {
        Network {
            link: Link::User,
            publish: Vec::new(),
            address: None,
            nameservers: Vec::new(),
            hosts: Vec::new(),
            allow: None,
            rates: NetworkRates::NONE,
        }
    }

    /// As [`Run::check`](crate::Run::check).
    pub(crate) fn check(&self) -> Result<(), NetworkError> {
        if let Link::Bridge(name) = &self.link {
            // IFNAMSIZ with its NUL, and what the kernel's dev_valid_name() takes.
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
            if !(1..16).contains(&name.len()) || !name.bytes().all(fits) {
                return Err(NetworkError::BridgeName(name.clone()));
            }
            if self.address.is_none() {
                return Err(NetworkError::NoAddress);
            }
            if let Some(port) = self.publish.first() {
                return Err(NetworkError::PublishOnBridge(*port));
            }
        }
        if self.publish.len() > PORTS_MAX {
            return Err(NetworkError::TooMany(self.publish.len()));
        }
        for (at, port) in self.publish.iter().enumerate() {
            // On several addresses there are several ports of one number.
            let apart = |other: &Publish| {
                let addresses = other.address.zip(port.address);
                addresses.is_some_and(|(one, other)| one != other)
            };
            let same = |other: &Publish| {
                (other.protocol, other.host) == (port.protocol, port.host) && !apart(other)
            };
            if self.publish[..at].iter().any(same) {
                return Err(NetworkError::PublishedTwice(port.host));
            }
        }
        for host in &self.hosts {
            host.check()?;
        }
        Ok(())
    }
}
