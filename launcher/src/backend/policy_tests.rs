// SPDX-License-Identifier: MIT OR Apache-2.0

//! Frames that may go out and frames that may not.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, PacketBuilder};
use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [2, 0x43, 10, 0, 2, 100];
const OTHER: [u8; 6] = [2, 0x43, 10, 0, 2, 101];
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const OWN_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// A link that nothing comes from but what is put there, and that keeps what goes out.
#[derive(Default)]
struct Wire {
    sent: Vec<Vec<u8>>,
    coming: Vec<Vec<u8>>,
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("nobody waits here")
    }
}

impl Link for Wire {
    fn offloads(&self) -> bool {
        false
    }
    fn mtu(&self) -> u16 {
        1500
    }
    fn has_room(&self) -> bool {
        true
    }
    fn send(&mut self, _: &Header, frame: &[u8]) {
        self.sent.push(frame.to_vec());
    }
    fn flush(&mut self) -> bool {
        false
    }
    fn frame(&mut self) -> Option<(Header, &[u8])> {
        Some((Header::default(), self.coming.first()?))
    }
    fn consume(&mut self) {
        self.coming.remove(0);
    }
    fn is_over(&self) -> bool {
        false
    }
}

fn filter(allowed: Option<&[&str]>) -> Filtered<Wire> {
    let net = |text: &&str| text.parse::<IpNet>().unwrap();
    Filtered::new(
        Wire::default(),
        Policy {
            mac: MAC,
            own: vec![IpAddr::from(OWN).into(), IpAddr::from(OWN_6).into()],
            nameservers: vec!["192.0.2.53".parse().unwrap()],
            denied: ["127.0.0.0/8", "203.0.113.9/32"].iter().map(net).collect(),
            allowed: allowed.map(|nets| nets.iter().map(net).collect()),
            published: vec![(Protocol::Tcp, 80), (Protocol::Udp, 53)],
        },
    )
}

fn udp(from: Ipv4Addr, to: &str, source: u16, port: u16) -> Vec<u8> {
    let to: Ipv4Addr = to.parse().unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC, OTHER)
        .ipv4(from.octets(), to.octets(), 64)
        .udp(source, port)
        .write(&mut frame, b"text")
        .unwrap();
    frame
}

fn tcp(from: Ipv4Addr, to: &str, source: u16, port: u16) -> Vec<u8> {
    let to: Ipv4Addr = to.parse().unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC, OTHER)
        .ipv4(from.octets(), to.octets(), 64)
        .tcp(source, port, 1, 1000)
        .write(&mut frame, b"")
        .unwrap();
    frame
}

fn passes(filter: &mut Filtered<Wire>, frame: &[u8]) -> bool {
    let before = filter.link.sent.len();
    filter.send(&Header::default(), frame);
    match filter.link.sent.len() - before {
        0 => false,
        _ => {
            assert_eq!(filter.link.sent.last().unwrap(), frame);
            true
        }
    }
}

#[test]
fn without_a_list_all_goes_out_but_to_what_is_denied() {
    let mut filter = filter(None);
    assert!(passes(&mut filter, &udp(OWN, "198.51.100.1", 9, 9)));
    assert!(passes(&mut filter, &tcp(OWN, "198.51.100.1", 9, 9)));
    assert!(!passes(&mut filter, &udp(OWN, "127.0.0.1", 9, 9)));
    assert!(!passes(&mut filter, &tcp(OWN, "203.0.113.9", 9, 9)));
}

#[test]
fn with_a_list_nothing_else_goes_out_but_questions_for_names() {
    let mut filter = filter(Some(&["198.51.100.0/25", "2001:db8::/32"]));
    assert!(passes(&mut filter, &tcp(OWN, "198.51.100.127", 9, 443)));
    assert!(!passes(&mut filter, &tcp(OWN, "198.51.100.128", 9, 443)));
    assert!(passes(&mut filter, &udp(OWN, "192.0.2.53", 9, 53)));
    assert!(passes(&mut filter, &tcp(OWN, "192.0.2.53", 9, 53)));
    assert!(!passes(&mut filter, &udp(OWN, "192.0.2.53", 9, 54)));
    assert!(!passes(&mut filter, &udp(OWN, "192.0.2.54", 9, 53)));
    let mut frame = Vec::new();
    let echo = PacketBuilder::ethernet2(MAC, OTHER).ipv4(OWN.octets(), [198, 51, 100, 128], 64);
    echo.icmpv4_echo_request(1, 1)
        .write(&mut frame, b"x")
        .unwrap();
    assert!(!passes(&mut filter, &frame));
    for (to, allowed) in [("2001:db8::9", true), ("2001:db9::9", false)] {
        let to: Ipv6Addr = to.parse().unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(MAC, OTHER)
            .ipv6(OWN_6.octets(), to.octets(), 64)
            .udp(1, 2)
            .write(&mut frame, b"")
            .unwrap();
        assert_eq!(passes(&mut filter, &frame), allowed);
    }
}

#[test]
fn an_empty_list_lets_nothing_out() {
    let mut filter = filter(Some(&[]));
    assert!(!passes(&mut filter, &tcp(OWN, "198.51.100.1", 9, 9)));
    assert!(passes(&mut filter, &udp(OWN, "192.0.2.53", 9, 53)));
}

#[test]
fn what_comes_from_somebody_else_does_not_pass() {
    let mut filter = filter(None);
    let mut frame = udp(OWN, "198.51.100.1", 9, 9);
    assert!(passes(&mut filter, &frame));
    frame[6..12].copy_from_slice(&OTHER);
    assert!(!passes(&mut filter, &frame));
    assert!(!passes(
        &mut filter,
        &udp(Ipv4Addr::new(10, 0, 2, 101), "198.51.100.1", 9, 9)
    ));
}

fn arp(mac: [u8; 6], sender: Ipv4Addr) -> Vec<u8> {
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &mac,
        &sender.octets(),
        &[0; 6],
        &[10, 0, 2, 2],
    )
    .unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC, [0xff; 6])
        .arp(packet)
        .write(&mut frame)
        .unwrap();
    frame
}

#[test]
fn neighbours_are_asked_for_in_ones_own_name() {
    let mut filter = filter(Some(&[]));
    assert!(passes(&mut filter, &arp(MAC, OWN)));
    assert!(passes(&mut filter, &arp(MAC, Ipv4Addr::UNSPECIFIED)));
    assert!(!passes(&mut filter, &arp(OTHER, OWN)));
    assert!(!passes(&mut filter, &arp(MAC, Ipv4Addr::new(10, 0, 2, 2))));
    let solicitation = |to: &str, hops: u8| {
        let to = to.parse::<Ipv6Addr>().unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(MAC, OTHER)
            .ipv6(OWN_6.octets(), to.octets(), hops)
            .icmpv6_raw(135, 0, [0; 4])
            .write(&mut frame, &[0; 16])
            .unwrap();
        frame
    };
    assert!(passes(&mut filter, &solicitation("ff02::1:ff00:2", 255)));
    assert!(!passes(&mut filter, &solicitation("ff02::1:ff00:2", 64)));
    assert!(!passes(&mut filter, &solicitation("2001:db8::1", 255)));
}

#[test]
fn a_checksum_is_not_written_over_the_destination() {
    let mut filter = filter(Some(&["198.51.100.0/24"]));
    // Flags, start and offset of the checksum: where UDP has it, and where IPv4's destination is.
    for (start, offset, wanted) in [(34, 6, 1), (20, 10, 1), (34, 16, 1)] {
        let mut header = Header::default();
        (header[0], header[6], header[8]) = (1, start, offset);
        filter.send(&header, &udp(OWN, "198.51.100.1", 9, 9));
        assert_eq!(filter.link.sent.len(), wanted, "{start} + {offset}");
    }
}

#[test]
fn what_hides_where_it_goes_does_not_pass() {
    let mut filter = filter(None);
    let frame = udp(OWN, "198.51.100.1", 9, 9);
    // A tag of a VLAN.
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0, 0, 7]);
    tagged.extend(&frame[12..]);
    assert!(!passes(&mut filter, &tagged));
    for (at, bits) in [(20, 0x20), (21, 1)] {
        // More fragments; not the first fragment.
        let mut fragment = frame.clone();
        fragment[at] |= bits;
        assert!(!passes(&mut filter, &fragment));
    }
    // An option of IPv4, as long as the header says.
    let mut routed = frame.clone();
    routed[14] = 0x46;
    routed.splice(34..34, [0x83, 4, 4, 0]);
    let length = (routed.len() - 14) as u16;
    routed[16..18].copy_from_slice(&length.to_be_bytes());
    assert!(!passes(&mut filter, &routed));
    // Headers of IPv6 before the packet: hop by hop, a route, a fragment.
    for next in [0u8, 43, 44] {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(MAC, OTHER)
            .ipv6(OWN_6.octets(), [0x20; 16], 64)
            .udp(1, 2)
            .write(&mut frame, b"")
            .unwrap();
        frame[20] = next;
        frame.splice(54..54, [17, 0, 0, 0, 0, 0, 0, 0]);
        frame[19] += 8;
        assert!(!passes(&mut filter, &frame));
    }
    for length in 0..frame.len() {
        assert!(!passes(&mut filter, &frame[..length]), "{length} bytes");
    }
}

#[test]
fn clients_of_published_ports_get_answers_and_nobody_else() {
    let mut filter = filter(Some(&[]));
    let answer = udp(OWN, "198.51.100.7", 53, 4000);
    assert!(!passes(&mut filter, &answer));
    let mut question = Vec::new();
    PacketBuilder::ethernet2(OTHER, MAC)
        .ipv4([198, 51, 100, 7], OWN.octets(), 64)
        .udp(4000, 53)
        .write(&mut question, b"?")
        .unwrap();
    filter.link.coming.push(question.clone());
    assert_eq!(
        filter.frame().map(|(_, frame)| frame.to_vec()),
        Some(question)
    );
    filter.consume();
    assert!(passes(&mut filter, &answer));
    // Neither another of its ports, nor from another port, nor another protocol.
    assert!(!passes(&mut filter, &udp(OWN, "198.51.100.7", 53, 4001)));
    assert!(!passes(&mut filter, &udp(OWN, "198.51.100.7", 54, 4000)));
    assert!(!passes(&mut filter, &tcp(OWN, "198.51.100.7", 53, 4000)));
}

#[test]
fn a_client_on_the_host_itself_gets_answers() {
    let mut filter = filter(None);
    let answer = tcp(OWN, "203.0.113.9", 80, 4000);
    assert!(!passes(&mut filter, &answer));
    let mut opening = Vec::new();
    PacketBuilder::ethernet2(OTHER, MAC)
        .ipv4([203, 0, 113, 9], OWN.octets(), 64)
        .tcp(4000, 80, 1, 1)
        .write(&mut opening, b"")
        .unwrap();
    filter.link.coming.push(opening);
    assert!(filter.frame().is_some());
    assert!(passes(&mut filter, &answer));
    assert!(!passes(&mut filter, &tcp(OWN, "203.0.113.9", 80, 4001)));
}

#[test]
fn clients_are_forgotten_when_there_are_too_many() {
    let mut filter = filter(Some(&[]));
    let client = |number: usize| {
        format!(
            "198.{}.{}.{}",
            18 + (number >> 16),
            number >> 8 & 255,
            number & 255
        )
    };
    for number in 0..=CLIENTS_MAX {
        let from: Ipv4Addr = client(number).parse().unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(OTHER, MAC)
            .ipv4(from.octets(), OWN.octets(), 64)
            .tcp(1, 80, 1, 1)
            .write(&mut frame, b"")
            .unwrap();
        filter.remember(&frame);
    }
    assert_eq!(
        (filter.clients.len(), filter.order.len()),
        (CLIENTS_MAX, CLIENTS_MAX)
    );
    assert!(!passes(&mut filter, &tcp(OWN, &client(0), 80, 1)));
    assert!(passes(&mut filter, &tcp(OWN, &client(CLIENTS_MAX), 80, 1)));
}

/// The destination of an IP packet, read without a crate: what a frame that has passed must be about.
fn destination(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [8, 0] => Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(30..34)?).ok()?)),
        [0x86, 0xdd] => Some(IpAddr::from(<[u8; 16]>::try_from(frame.get(38..54)?).ok()?)),
        _ => None,
    }
}

proptest! {
    #[test]
    fn whatever_passes_goes_where_something_may_go(
        noise in proptest::collection::vec(any::<u8>(), 0..120),
        changes in proptest::collection::vec((0usize..60, any::<u8>()), 0..6),
        kind in 0..3,
    ) {
        let mut frame = match kind {
            0 => noise,
            1 => udp(OWN, "198.51.100.1", 9, 9),
            _ => tcp(OWN, "198.51.100.1", 9, 9),
        };
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        let mut filter = filter(Some(&["198.51.100.0/24"]));
        if passes(&mut filter, &frame) {
            prop_assert_eq!(&frame[6..12], &MAC);
            if let Some(to) = destination(&frame) {
                let allowed = "198.51.100.0/24".parse::<IpNet>().unwrap().contains(&to);
                let server = to == "192.0.2.53".parse::<IpAddr>().unwrap();
                prop_assert!(allowed || server, "{to}");
            } else {
                prop_assert_eq!(&frame[12..14], &[8, 6]);
            }
        }
    }
}
