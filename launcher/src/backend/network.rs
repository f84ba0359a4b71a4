// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the network that a client asks for to a card that is connected, and what init is told of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use cki_session::user_network::{
    CONTAINER, CONTAINER_6, GATEWAY, GATEWAY_6, NAMESERVER, PREFIX, PREFIX_6,
};
use cki_session::{Interface, IpNet, Link as Wanted, Network};

use super::host::{self, Address};
use super::passt::{self, Passt, PasstError, Settings};
use super::policy::{Filtered, Policy};
use super::standby::OURSELVES;
use super::tap::{Tap, TapError};
use crate::virtio::link::{Header, Link};
use crate::virtio::net::Net;

/// A container's card.
pub type Card = Net<Filtered<Box<dyn Link>>>;

/// A network cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// Through passt.
    #[error(transparent)]
    Passt(#[from] PasstError),
    /// On a bridge.
    #[error(transparent)]
    Tap(#[from] TapError),
    /// The kernel, with what was asked of it.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes a card and connects it.
///
/// # Errors
/// [`CardError`]; nothing is left behind.
pub fn connect(network: &Network) -> Result<(Card, Interface), CardError> {
    let system = |what| move |source| CardError::System { what, source };
    let here = host::addresses().map_err(system("cannot find the host's addresses"))?;
    let servers = host::nameservers();
    let mut interface = match &network.link {
        Wanted::User => user(network, host::reaches_ipv6()),
        Wanted::Bridge(name) => bridged(network, name, &here),
    };
    let forward = name(network, &servers, &mut interface);
    let mut policy = policy(network, &interface);
    let link: Box<dyn Link> = match &network.link {
        Wanted::User => {
            policy.denied.extend(kept(&here));
            let settings = Settings {
                addresses: interface.addresses.clone(),
                gateways: interface.gateways.clone(),
                dns_forward: forward,
                publish: network.publish.clone(),
            };
            Box::new(user_link(&settings, &policy)?)
        }
        Wanted::Bridge(bridge) => Box::new(Tap::on(bridge)?),
    };
    let mac = policy.mac;
    let card =
        Net::new(Filtered::new(link, policy), mac).map_err(system("cannot make an epoll"))?;
    Ok((card.limited(network.rates), interface))
}

/// The link to the user network.
fn user_link(settings: &Settings, policy: &Policy) -> Result<Passt, PasstError> {
    let program = passt::program()?;
    if settings.publish.is_empty() {
        return Passt::when_needed(Path::new(OURSELVES), &program, settings);
    }
    let mut passt = Passt::start(&program, settings)?;
    if let Some(IpNet::V4(net)) = policy.own.first() {
        // Otherwise it knows nobody to send to until the container has said something.
        passt.send(&Header::default(), &announcement(policy.mac, net.addr()));
        passt.flush();
    }
    Ok(passt)
}

/// The interface on the user network.
fn user(network: &Network, ipv6: bool) -> Interface {
    let own = IpNet::new_assert(CONTAINER.into(), PREFIX);
    let address = network.address.unwrap_or(own);
    let mut addresses = vec![address];
    let mut gateways = vec![match address {
        IpNet::V4(net) if net.contains(&GATEWAY) => GATEWAY.into(),
        // Some other address of its network: passt answers for all of them.
        net => net
            .hosts()
            .find(|host| *host != net.addr())
            .unwrap_or(net.addr()),
    }];
    if ipv6 && matches!(address, IpNet::V4(_)) {
        addresses.push(IpNet::new_assert(CONTAINER_6.into(), PREFIX_6));
        gateways.push(GATEWAY_6.into());
    }
    Interface {
        addresses,
        gateways,
        nameservers: Vec::new(),
        mtu: None,
        hosts: network.hosts.clone(),
    }
}

/// The interface on a bridge. The host is the gateway if it has an address in the container's network there.
fn bridged(network: &Network, bridge: &str, here: &[Address]) -> Interface {
    let addresses: Vec<_> = network.address.into_iter().collect();
    let gateway = here.iter().find(|address| {
        let ip = address.net.addr();
        address.interface == bridge && addresses.iter().any(|net| net.contains(&ip))
    });
    Interface {
        addresses,
        gateways: gateway
            .map(|address| address.net.addr())
            .into_iter()
            .collect(),
        nameservers: Vec::new(),
        mtu: None,
        hosts: network.hosts.clone(),
    }
}

/// Sets whom the container asks for names; the address that passt is to take for the host's own server.
fn name(network: &Network, servers: &[IpAddr], interface: &mut Interface) -> Option<IpAddr> {
    if !network.nameservers.is_empty() {
        interface.nameservers.clone_from(&network.nameservers);
        return None;
    }
    let reached = servers.iter().filter(|server| !host::is_special(server));
    interface.nameservers = reached.copied().collect();
    let asks_itself = interface.nameservers.is_empty() && !servers.is_empty();
    let forward = (asks_itself && network.link == Wanted::User).then(|| NAMESERVER.into());
    interface.nameservers.extend(forward);
    forward
}

/// What the container may send, but for what depends on the link.
fn policy(network: &Network, interface: &Interface) -> Policy {
    let own = interface.addresses.clone();
    let published = network.publish.iter();
    Policy {
        mac: mac(own.first().map(IpNet::addr)),
        own,
        nameservers: interface.nameservers.clone(),
        denied: Vec::new(),
        allowed: network.allow.clone(),
        published: published
            .map(|port| (port.protocol, port.container))
            .collect(),
    }
}

/// An address for the card: locally administered (IEEE 802), and as different as IPv4 addresses are.
fn mac(address: Option<IpAddr>) -> [u8; 6] {
    let [a, b, c, d] = match address {
        Some(IpAddr::V4(address)) => address.octets(),
        Some(IpAddr::V6(address)) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
        None => [0; 4],
    };
    [0x02, 0x43, a, b, c, d]
}

/// A frame by which a station tells all others its address (RFC 5227 3): an ARP request for itself.
pub(super) fn announcement(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let (all, nobody, address) = ([0xff; 6], [0; 6], address.octets());
    // Ethernet, ARP; then hardware Ethernet, protocol IPv4, their lengths, request.
    let kind = [8, 6];
    let header = [0, 1, 8, 0, 6, 4, 0, 1];
    let parts: [&[u8]; 8] = [
        &all, &mac, &kind, &header, &mac, &address, &nobody, &address,
    ];
    parts.concat()
}

/// What of the host is kept from a container whose packets become the host's own: what is for the host
/// alone, or for groups, and all that it has addresses for, where its services and published ports are.
fn kept(here: &[Address]) -> Vec<IpNet> {
    let special = [
        "127.0.0.0/8",
        "0.0.0.0/8",
        "224.0.0.0/3",
        "::1/128",
        "::/128",
        "ff00::/8",
        "::ffff:0:0/96",
    ];
    let special = special.iter().filter_map(|net| net.parse().ok());
    special
        .chain(here.iter().map(|address| address.net.addr().into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_session::Host;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_init_is_told_can_be_set_up() {
        let mut network = Network::user();
        network.hosts = vec![Host::parse("db:192.0.2.7").unwrap()];
        for address in [
            None,
            Some("10.9.0.1/16"),
            Some("fd00::9/64"),
            Some("192.0.2.1/32"),
        ] {
            network.address = address.map(net);
            for ipv6 in [false, true] {
                let mut run = cki_session::Run::new(["true"]);
                let interface = user(&network, ipv6);
                assert_eq!(interface.hosts, network.hosts);
                run.interface = Some(interface);
                run.check().unwrap();
            }
        }
    }

    #[test]
    fn a_bridge_is_the_gateway_if_it_has_an_address_there() {
        let here = [
            Address {
                interface: "br0".to_owned(),
                net: net("10.1.0.1/24"),
            },
            Address {
                interface: "eth0".to_owned(),
                net: net("10.2.0.1/24"),
            },
        ];
        let mut network = Network::user();
        network.address = Some(net("10.1.0.7/24"));
        assert_eq!(bridged(&network, "br0", &here).gateways, [ip("10.1.0.1")]);
        assert!(bridged(&network, "eth0", &here).gateways.is_empty());
    }

    #[test]
    fn the_host_s_own_server_is_asked_through_passt() {
        let mut interface = user(&Network::user(), false);
        let network = Network::user();
        assert_eq!(
            name(&network, &[ip("127.0.0.53")], &mut interface),
            Some(ip("10.0.2.3"))
        );
        assert_eq!(interface.nameservers, [ip("10.0.2.3")]);
        assert_eq!(
            name(&network, &[ip("192.0.2.53"), ip("::1")], &mut interface),
            None
        );
        assert_eq!(interface.nameservers, [ip("192.0.2.53")]);
        let mut asked = Network::user();
        asked.nameservers = vec![ip("192.0.2.9")];
        assert_eq!(name(&asked, &[ip("127.0.0.53")], &mut interface), None);
        assert_eq!(interface.nameservers, [ip("192.0.2.9")]);
    }

    #[test]
    fn a_card_s_address_is_that_of_one_station() {
        let address = mac(Some(ip("10.0.2.100")));
        assert_eq!(address, [2, 0x43, 10, 0, 2, 100]);
        assert_ne!(mac(Some(ip("fd00::1"))), mac(Some(ip("fd00::2"))));
    }

    #[test]
    fn a_station_s_announcement_is_one_that_the_policy_lets_out() {
        let mut network = Network::user();
        network.allow = Some(Vec::new());
        let policy = policy(&network, &user(&network, false));
        let frame = announcement(policy.mac, CONTAINER);
        assert_eq!(frame.len(), 42);
        assert!(Filtered::new((), policy).passes(&Header::default(), &frame));
    }

    #[test]
    fn nothing_of_the_host_s_own_is_left_out() {
        let here = [Address {
            interface: "eth0".to_owned(),
            net: net("192.0.2.2/24"),
        }];
        let kept = kept(&here);
        for text in [
            "127.1.2.3",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "192.0.2.2",
            "::ffff:127.0.0.1",
        ] {
            assert!(kept.iter().any(|net| net.contains(&ip(text))), "{text}");
        }
        assert!(!kept.iter().any(|net| net.contains(&ip("192.0.2.3"))));
    }
}
