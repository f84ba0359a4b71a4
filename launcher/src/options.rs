// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network options of `cki run`.

use std::net::IpAddr;

use cki_session::values::parse_net;
use cki_session::{Connection, Host, IpNet, Network, Publish};
use clap::Args;

/// Their names, for options that exclude them.
pub const NAMES: [&str; 6] = ["network", "publish", "dns", "add_host", "ip", "allow"];

/// Options of `cki run`.
#[derive(Debug, Default, Args)]
pub struct NetworkArgs {
    /// What the container's network card is connected to: none, user (by passt: what the host reaches, but
    /// not the host itself), or bridge=NAME (a bridge of the host, with --ip)
    #[arg(long, value_name = "NETWORK", default_value = "none")]
    pub network: Connection,
    /// Have a port of the host lead to one of the container's, TCP or UDP; may be repeated
    #[arg(long, short, value_name = "[IP:]HOST:CONTAINER[/udp]")]
    pub publish: Vec<Publish>,
    /// Ask this server for names instead of the host's; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,
    /// Add a line to /etc/hosts; may be repeated
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = Host::parse)]
    pub add_host: Vec<Host>,
    /// Address of the container, with the length of its network's prefix, such as 10.1.0.7/24
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    pub ip: Option<IpNet>,
    /// Let the container send to this address or network, and to nothing else but its name servers; may be
    /// repeated
    #[arg(long, value_name = "NETWORK", value_parser = parse_net)]
    pub allow: Vec<IpNet>,
}

impl NetworkArgs {
    /// The network that is asked for.
    ///
    /// # Errors
    /// A sentence, when there is none and something is said of it.
    pub fn wanted(&self) -> anyhow::Result<Option<Network>> {
        let Some(link) = self.network.link() else {
            let said = [
                self.publish.is_empty(),
                self.allow.is_empty(),
                self.ip.is_none(),
            ];
            anyhow::ensure!(
                said == [true; 3],
                "--publish, --allow and --ip mean nothing without --network user or bridge=NAME"
            );
            return Ok(None);
        };
        Ok(Some(Network {
            link,
            publish: self.publish.clone(),
            address: self.ip,
            nameservers: self.dns.clone(),
            hosts: self.add_host.clone(),
            allow: (!self.allow.is_empty()).then(|| self.allow.clone()),
        }))
    }
}
