// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the header of a frame asks for nothing but the checksum and the segments of that frame.
//!
//! The host's kernel or a card stores the checksum where the header says, after the policy has looked: any other
//! place than a checksum's own would let a container write the destination of a packet that has passed.

use cki_session::Protocol;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_NONE,
    VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6,
};

use crate::virtio::link::Header;

/// Bytes of an Ethernet header, and of an IP header without options or other headers behind it.
const ETHERNET: u16 = 14;
const IPV4: u16 = 20;
const IPV6: u16 = 40;

/// Whether `header` is one that a frame may have, of which `transport` says whether it is IPv4's, and what is in it:
/// nothing for a frame without ports.
#[must_use]
pub fn fits(header: &Header, transport: Option<(bool, Protocol)>) -> bool {
    // struct virtio_net_hdr (5.1.6): flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers.
    let [
        flags,
        gso,
        _,
        _,
        _,
        _,
        start_low,
        start_high,
        offset_low,
        offset_high,
        _,
        _,
    ] = *header;
    if *header == Header::default() {
        return true;
    }
    let Some((is_v4, protocol)) = transport else {
        return false;
    };
    let start = ETHERNET + if is_v4 { IPV4 } else { IPV6 };
    let (offset, segments) = match protocol {
        Protocol::Tcp if is_v4 => (16, VIRTIO_NET_HDR_GSO_TCPV4),
        Protocol::Tcp => (16, VIRTIO_NET_HDR_GSO_TCPV6),
        Protocol::Udp => (6, VIRTIO_NET_HDR_GSO_NONE),
    };
    let gso = u32::from(gso);
    let kinds = [
        VIRTIO_NET_HDR_GSO_NONE,
        segments,
        segments | VIRTIO_NET_HDR_GSO_ECN,
    ];
    let kinds = match segments {
        VIRTIO_NET_HDR_GSO_NONE => &kinds[..1],
        _ => &kinds[..],
    };
    // A segment needs a checksum of its own, so without this flag there are none.
    u32::from(flags) == VIRTIO_NET_HDR_F_NEEDS_CSUM
        && u16::from_le_bytes([start_low, start_high]) == start
        && u16::from_le_bytes([offset_low, offset_high]) == offset
        && kinds.contains(&gso)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, gso: u8, start: u16, offset: u16) -> Header {
        let mut header = Header::default();
        header[0] = flags;
        header[1] = gso;
        header[6..8].copy_from_slice(&start.to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
        header
    }

    #[test]
    fn a_checksum_is_left_to_the_receiver_at_its_own_place_only() {
        for (is_v4, start) in [(true, 34), (false, 54)] {
            for (protocol, offset) in [(Protocol::Tcp, 16), (Protocol::Udp, 6)] {
                let transport = Some((is_v4, protocol));
                assert!(fits(&header(0, 0, 0, 0), transport));
                for a in 0..80 {
                    for b in 0..40 {
                        let allowed = (a, b) == (start, offset);
                        assert_eq!(fits(&header(1, 0, a, b), transport), allowed, "{a} {b}");
                        assert!(!fits(&header(1, 0, a, b), None));
                        // Without the flag, nothing is said of a place.
                        assert!((a, b) == (0, 0) || !fits(&header(0, 0, a, b), transport));
                    }
                }
            }
        }
    }

    #[test]
    fn segments_are_those_of_tcp_over_the_packet_s_own_family() {
        for gso in 0..=u8::MAX {
            let tcp4 = fits(&header(1, gso, 34, 16), Some((true, Protocol::Tcp)));
            assert_eq!(tcp4, [0, 1, 0x81].contains(&gso), "{gso}");
            let tcp6 = fits(&header(1, gso, 54, 16), Some((false, Protocol::Tcp)));
            assert_eq!(tcp6, [0, 4, 0x84].contains(&gso), "{gso}");
            let udp = fits(&header(1, gso, 34, 6), Some((true, Protocol::Udp)));
            assert_eq!(udp, gso == 0, "{gso}");
            assert!(gso == 0 || !fits(&header(0, gso, 0, 0), Some((true, Protocol::Tcp))));
        }
    }

    #[test]
    fn flags_that_a_receiver_sets_are_none_of_a_sender_s() {
        for flags in 2..=u8::MAX {
            assert!(
                !fits(&header(flags, 0, 34, 16), Some((true, Protocol::Tcp))),
                "{flags}"
            );
        }
    }
}
