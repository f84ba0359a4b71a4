// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options of a network that `cki-build run` and `cki run` have in common.

use std::net::IpAddr;

use cki_session::{Host, IpNet, Link, Network, NetworkRates, Publish, Rate};
use clap::Args;

use crate::publish::PublishOption;

/// Who reaches the program, and what it is told of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct NetworkOptions {
    /// Have a port here lead to one of the program's, TCP or UDP, or a range to a range, such as
    /// 8000-8010:8000-8010; an IPv6 address stands in brackets; may be repeated
    #[arg(short, long, value_name = "[IP:]HOST:CONTAINER[/udp]")]
    pub publish: Vec<PublishOption>,
    /// Ask this server for names instead of those asked here; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// Add a line to /etc/hosts; may be repeated
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = Host::parse)]
    pub add_host: Vec<Host>,
    /// Address of the container, with the length of its network's prefix, such as 10.1.0.7/24
    #[arg(long, value_name = "ADDRESS/LENGTH", value_parser = parse_address)]
    pub ip: Option<IpNet>,
    /// How fast it may be.
    #[command(flatten)]
    pub rates: RateOptions,
}

/// How fast a container's card may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
pub struct RateOptions {
    /// Bytes a second that the container receives at most, such as 10M, or 10M+64M for 64M at once after a pause
    #[arg(long, value_name = "RATE[+BURST]")]
    pub ingress_rate: Option<Rate>,
    /// Bytes a second that it sends at most
    #[arg(long, value_name = "RATE[+BURST]")]
    pub egress_rate: Option<Rate>,
    /// Packets (Ethernet frames) a second that it receives at most
    #[arg(long, value_name = "RATE[+BURST]")]
    pub ingress_packets: Option<Rate>,
    /// Packets a second that it sends at most
    #[arg(long, value_name = "RATE[+BURST]")]
    pub egress_packets: Option<Rate>,
}

impl RateOptions {
    /// What they limit.
    #[must_use]
    pub fn rates(self) -> NetworkRates {
        NetworkRates {
            ingress_rate: self.ingress_rate,
            ingress_packets: self.ingress_packets,
            egress_rate: self.egress_rate,
            egress_packets: self.egress_packets,
        }
    }
}

impl NetworkOptions {
    /// All ports that are published.
    pub fn published(&self) -> impl Iterator<Item = Publish> {
        let ports = self.publish.iter().flat_map(|option| &option.0);
        ports.copied()
    }

    /// A container's network with these options, from which packets go to `allow` only, if it is given.
    #[must_use]
    pub fn network(&self, link: Link, allow: Option<Vec<IpNet>>) -> Network {
        Network {
            link,
            publish: self.published().collect(),
            address: self.ip,
            nameservers: self.dns.clone(),
            hosts: self.add_host.clone(),
            allow,
            rates: self.rates.rates(),
        }
    }
}

/// Reads an address with the length of its network's prefix.
fn parse_address(text: &str) -> Result<IpNet, String> {
    let form = |_| "expected ADDRESS/LENGTH, such as 10.1.0.7/24".to_owned();
    text.parse().map_err(form)
}
