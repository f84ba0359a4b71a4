// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which frames of a container go out.
//!
//! What a container may never reach (the host's loopback and its other addresses, with a link that would
//! take it there), and what the user has not allowed, is judged here, on the host's side, by the bytes
//! that go out. A frame that cannot be read, a fragment, and what comes from an address that is not the
//! container's do not pass.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use cki_session::{IpNet, Protocol};
use etherparse::{EtherType, IpNumber, LinkSlice, NetSlice, SlicedPacket, TransportSlice};

use super::neighbour::Station;
use super::offload;
use crate::virtio::link::{Header, Link};

/// Port of name servers.
const DNS: u16 = 53;
/// Clients of published ports that are remembered.
const CLIENTS_MAX: usize = 16_384;

/// What goes out.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The card's address, which frames come from.
    pub mac: [u8; 6],
    /// The container's addresses, which packets come from, with their networks.
    pub own: Vec<IpNet>,
    /// Who is asked for names; reached on port 53 whatever else is said.
    pub nameservers: Vec<IpAddr>,
    /// Where nothing goes but answers.
    pub denied: Vec<IpNet>,
    /// If given, where alone something goes, besides answers.
    pub allowed: Option<Vec<IpNet>>,
    /// Ports of the container that clients reach, who get answers wherever they are.
    pub published: Vec<(Protocol, u16)>,
}

/// What a frame says of its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    /// A question for the address of a neighbour, or an answer, which no router passes on.
    Neighbour,
    /// An IP packet.
    Ip {
        source: IpAddr,
        destination: IpAddr,
        /// Of TCP and UDP: source and destination.
        ports: Option<(Protocol, u16, u16)>,
    },
}

/// A client of a published port.
type Client = (Protocol, u16, SocketAddr);

/// A link that frames go to by a policy.
#[derive(Debug)]
pub struct Filtered<L> {
    link: L,
    policy: Policy,
    clients: HashSet<Client>,
    order: VecDeque<Client>,
    /// Whether the link's next frame was looked at.
    seen: bool,
}

impl Packet {
    /// Whether it is IPv4's, and what is in it, if that has ports.
    fn transport(&self) -> Option<(bool, Protocol)> {
        match self {
            Packet::Ip {
                destination,
                ports: Some((protocol, ..)),
                ..
            } => Some((destination.is_ipv4(), *protocol)),
            _ => None,
        }
    }
}

impl Policy {
    /// The container, as its neighbours know it.
    fn station(&self) -> Station<'_> {
        Station {
            mac: self.mac,
            own: &self.own,
        }
    }

    /// What a frame says, if it is one that a container may send.
    fn read(&self, frame: &[u8]) -> Option<Packet> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else {
            return None;
        };
        if ethernet.source() != self.mac || !packet.link_exts.is_empty() {
            return None;
        }
        match &packet.net {
            Some(NetSlice::Arp(arp)) if ethernet.ether_type() == EtherType::ARP => {
                let (mac, address) = (arp.sender_hw_addr(), arp.sender_protocol_addr());
                self.station()
                    .asks(mac, address)
                    .then_some(Packet::Neighbour)
            }
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header();
                // Options may route, and so say another destination.
                if header.ihl() != 5 || ip.is_payload_fragmented() || header.more_fragments() {
                    return None;
                }
                let number = header.protocol();
                let ports = ports(number, packet.transport.as_ref())?;
                self.ip(
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    ports,
                )
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header();
                let number = header.next_header();
                // Neither hops on the way nor fragments; multicast listeners' reports have a header before them.
                if number.is_ipv6_ext_header_value() {
                    return None;
                }
                if let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport {
                    if Station::discovers(icmp.type_u8()) {
                        let (from, to) = (header.source_addr(), header.destination_addr());
                        return self
                            .station()
                            .says(from, to, header.hop_limit(), icmp.slice())
                            .then_some(Packet::Neighbour);
                    }
                }
                let ports = ports(number, packet.transport.as_ref())?;
                self.ip(
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    ports,
                )
            }
            _ => None,
        }
    }

    fn ip(
        &self,
        source: IpAddr,
        destination: IpAddr,
        ports: Option<(Protocol, u16, u16)>,
    ) -> Option<Packet> {
        self.station().has(&source).then_some(Packet::Ip {
            source,
            destination,
            ports,
        })
    }
}

/// The ports of a packet; `None` for one of TCP or UDP without whole ports.
#[expect(
    clippy::option_option,
    reason = "other protocols have no ports, and pass"
)]
fn ports(
    number: IpNumber,
    transport: Option<&TransportSlice<'_>>,
) -> Option<Option<(Protocol, u16, u16)>> {
    match (number, transport) {
        (IpNumber::TCP, Some(TransportSlice::Tcp(tcp))) => Some(Some((
            Protocol::Tcp,
            tcp.source_port(),
            tcp.destination_port(),
        ))),
        (IpNumber::UDP, Some(TransportSlice::Udp(udp))) => Some(Some((
            Protocol::Udp,
            udp.source_port(),
            udp.destination_port(),
        ))),
        (IpNumber::TCP | IpNumber::UDP, _) => None,
        _ => Some(None),
    }
}

impl<L> Filtered<L> {
    /// `link` by `policy`.
    #[must_use]
    pub fn new(link: L, policy: Policy) -> Self {
        Filtered {
            link,
            policy,
            clients: HashSet::new(),
            order: VecDeque::new(),
            seen: false,
        }
    }

    /// Whether a frame goes out, with what its header leaves to the receiver.
    pub(super) fn passes(&self, header: &Header, frame: &[u8]) -> bool {
        let packet = self.policy.read(frame);
        packet.is_some_and(|packet| {
            offload::fits(header, packet.transport()) && self.lets_out(&packet)
        })
    }

    /// Whether something may go where this goes.
    fn lets_out(&self, packet: &Packet) -> bool {
        let Packet::Ip {
            destination, ports, ..
        } = *packet
        else {
            return true;
        };
        let Policy {
            nameservers,
            denied,
            allowed,
            ..
        } = &self.policy;
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&destination));
        let asks = ports.is_some_and(|(_, _, port)| port == DNS);
        if asks && nameservers.contains(&destination) {
            return true;
        }
        let answers = |(protocol, from, to)| {
            let client = SocketAddr::new(destination, to);
            self.clients.contains(&(protocol, from, client))
        };
        if ports.is_some_and(answers) {
            return true;
        }
        !within(denied) && allowed.as_deref().is_none_or(within)
    }

    /// Remembers who uses a published port.
    fn remember(&mut self, frame: &[u8]) {
        // What comes in is for the container to judge; here it is only read.
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
            return;
        };
        let source: IpAddr = match &packet.net {
            Some(NetSlice::Ipv4(ip)) => ip.header().source_addr().into(),
            Some(NetSlice::Ipv6(ip)) => ip.header().source_addr().into(),
            _ => return,
        };
        let (protocol, from, to) = match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                (Protocol::Tcp, tcp.source_port(), tcp.destination_port())
            }
            Some(TransportSlice::Udp(udp)) => {
                (Protocol::Udp, udp.source_port(), udp.destination_port())
            }
            _ => return,
        };
        if !self.policy.published.contains(&(protocol, to)) {
            return;
        }
        let client = (protocol, to, SocketAddr::new(source, from));
        if self.clients.insert(client) {
            self.order.push_back(client);
            if self.order.len() > CLIENTS_MAX {
                if let Some(oldest) = self.order.pop_front() {
                    self.clients.remove(&oldest);
                }
            }
        }
    }
}

impl<L: AsFd> AsFd for Filtered<L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

impl<L: Link> Link for Filtered<L> {
    fn offloads(&self) -> bool {
        self.link.offloads()
    }

    fn mtu(&self) -> u16 {
        self.link.mtu()
    }

    fn has_room(&self) -> bool {
        self.link.has_room()
    }

    fn send(&mut self, header: &Header, frame: &[u8]) {
        if self.passes(header, frame) {
            self.link.send(header, frame);
        }
    }

    fn flush(&mut self) -> bool {
        self.link.flush()
    }

    fn frame(&mut self) -> Option<(Header, &[u8])> {
        if !self.policy.published.is_empty() && !self.seen {
            let frame = self.link.frame()?.1.to_vec();
            self.remember(&frame);
            self.seen = true;
        }
        self.link.frame()
    }

    fn consume(&mut self) {
        self.seen = false;
        self.link.consume();
    }

    fn is_over(&self) -> bool {
        self.link.is_over()
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
