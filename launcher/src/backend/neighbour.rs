// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which messages between neighbours a container may send: who it is, and who somebody on its link is.
//!
//! They pass whatever else is allowed, so they say nothing but that, in the container's own name, to its link.

use std::net::{IpAddr, Ipv6Addr};

use cki_session::IpNet;
use etherparse::icmpv6::{
    TYPE_NEIGHBOR_ADVERTISEMENT, TYPE_NEIGHBOR_SOLICITATION, TYPE_ROUTER_SOLICITATION,
};

/// Who may say something.
#[derive(Debug, Clone, Copy)]
pub struct Station<'a> {
    /// The card's address.
    pub mac: [u8; 6],
    /// Its addresses, each with its network, whose stations are neighbours.
    pub own: &'a [IpNet],
}

/// Neighbour discovery (RFC 4861): hop limit, bytes of a header that all messages have, and of a target.
const HOPS: u8 = 255;
const HEADER: usize = 8;
const TARGET: usize = 16;
/// Kinds of options (RFC 4861 4.6, RFC 3971 5.3.2), all of 8 bytes here, and how many at most.
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
const NONCE: u8 = 14;
const OPTION: usize = 8;
const OPTIONS_MAX: usize = 2;

impl Station<'_> {
    /// Whether an address is one of its own.
    #[must_use]
    pub fn has(&self, address: &IpAddr) -> bool {
        self.own.iter().any(|net| net.addr() == *address)
    }

    /// Whether a question for an address by ARP, or an answer, is in its own name: `mac` and `address` are the
    /// sender's.
    #[must_use]
    pub fn asks(&self, mac: &[u8], address: &[u8]) -> bool {
        let Ok(address) = <[u8; 4]>::try_from(address) else {
            return false;
        };
        // 0.0.0.0: whether somebody has an address already (RFC 5227).
        mac == self.mac && (address == [0; 4] || self.has(&IpAddr::from(address)))
    }

    /// Whether an ICMPv6 message, given whole, is neighbour discovery at all, whoever says it.
    #[must_use]
    pub fn discovers(kind: u8) -> bool {
        // Routers' advertisements are between the two: 134.
        (TYPE_ROUTER_SOLICITATION..=TYPE_NEIGHBOR_ADVERTISEMENT).contains(&kind)
    }

    /// Whether such a message passes.
    #[must_use]
    pub fn says(&self, from: Ipv6Addr, to: Ipv6Addr, hops: u8, message: &[u8]) -> bool {
        let ours = |address: Ipv6Addr| address == self.link_local() || self.has(&address.into());
        let on_link = is_of_link(to) || self.own.iter().any(|net| net.contains(&IpAddr::V6(to)));
        let named = from.is_unspecified() || ours(from);
        let Some((header, rest)) = message.split_at_checked(HEADER) else {
            return false;
        };
        let target = || rest.split_first_chunk::<TARGET>();
        let options = match header[0] {
            TYPE_ROUTER_SOLICITATION => Some(rest),
            TYPE_NEIGHBOR_SOLICITATION => target().map(|(_, options)| options),
            TYPE_NEIGHBOR_ADVERTISEMENT => target()
                .filter(|(target, _)| ours(Ipv6Addr::from(**target)))
                .map(|(_, options)| options),
            _ => None,
        };
        // A receiver takes it only with this hop limit, which says that no router has passed it on.
        hops == HOPS && on_link && named && options.is_some_and(|options| self.options(options))
    }

    /// Whether options say nothing but the card's address, and what tells one question from another.
    fn options(&self, options: &[u8]) -> bool {
        let parts = options.chunks_exact(OPTION);
        let whole = parts.remainder().is_empty() && options.len() <= OPTIONS_MAX * OPTION;
        whole
            && parts.into_iter().all(|option| match option {
                [SOURCE_ADDRESS | TARGET_ADDRESS, 1, mac @ ..] => *mac == self.mac,
                [NONCE, 1, ..] => true,
                _ => false,
            })
    }

    /// The address that the card gives itself (RFC 4291 2.5.6 and appendix A).
    fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        let group = |high, low| u16::from_be_bytes([high, low]);
        let [w, x, y, z] = [group(a ^ 2, b), group(c, 0xff), group(0xfe, d), group(e, f)];
        Ipv6Addr::new(0xfe80, 0, 0, 0, w, x, y, z)
    }
}

/// Whether no router passes on what is sent to this address: of the link alone, or its groups.
fn is_of_link(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.segments()[0] == 0xff02
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0x43, 10, 0, 2, 100];
    const LINK_LOCAL: &str = "fe80::43:aff:fe00:264";

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn says(from: &str, to: &str, hops: u8, message: &[u8]) -> bool {
        let own = ["10.0.2.100/24", "fd00::1/64"].map(|text| text.parse().unwrap());
        let station = Station {
            mac: MAC,
            own: &own,
        };
        station.says(ip(from), ip(to), hops, message)
    }

    fn message(kind: u8, target: Option<&str>, options: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.iter().flat_map(|text| ip(text).octets()));
        message.extend(options.concat());
        message
    }

    const SOURCE: [u8; 8] = [1, 1, 2, 0x43, 10, 0, 2, 100];

    #[test]
    fn a_station_has_the_address_that_its_card_gives_itself() {
        let station = Station { mac: MAC, own: &[] };
        assert_eq!(station.link_local(), ip(LINK_LOCAL));
    }

    #[test]
    fn questions_go_to_the_link_and_nowhere_else() {
        let question = message(135, Some("fd00::2"), &[&SOURCE]);
        for to in ["ff02::1:ff00:2", "fe80::2", "fd00::2"] {
            assert!(says("fd00::1", to, 255, &question), "{to}");
        }
        for to in ["2001:db8::1", "fd00:0:0:1::2", "ff05::2", "ff0e::2"] {
            assert!(!says("fd00::1", to, 255, &question), "{to}");
        }
        assert!(!says("fd00::1", "ff02::1:ff00:2", 64, &question));
    }

    #[test]
    fn nobody_speaks_in_another_s_name() {
        let question = message(135, Some("fd00::2"), &[]);
        for (from, passes) in [
            ("::", true),
            (LINK_LOCAL, true),
            ("fd00::2", false),
            ("fe80::2", false),
        ] {
            assert_eq!(
                says(from, "ff02::1:ff00:2", 255, &question),
                passes,
                "{from}"
            );
        }
        for (target, passes) in [
            ("fd00::1", true),
            (LINK_LOCAL, true),
            ("fd00::2", false),
            ("fe80::2", false),
        ] {
            let answer = message(136, Some(target), &[]);
            assert_eq!(says("fd00::1", "ff02::1", 255, &answer), passes, "{target}");
        }
        let stranger = [2, 1, 2, 0x43, 10, 0, 2, 101];
        let answer = message(136, Some("fd00::1"), &[&stranger]);
        assert!(!says("fd00::1", "ff02::1", 255, &answer));
    }

    #[test]
    fn a_message_carries_nothing_else() {
        let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
        let to = "ff02::1:ff00:2";
        let question = |options: &[&[u8]]| message(135, Some("fd00::2"), options);
        assert!(says("::", to, 255, &question(&[&SOURCE, &nonce])));
        for options in [
            &[&SOURCE[..], &nonce, &nonce][..],
            &[&[200, 1, 0, 0, 0, 0, 0, 0]],
            &[&[14, 2, 0, 0, 0, 0, 0, 0], &[0; 8]],
            &[&SOURCE[..7]],
        ] {
            assert!(!says("::", to, 255, &question(options)), "{options:?}");
        }
        for length in 0..24 {
            assert!(!says("::", to, 255, &question(&[])[..length]), "{length}");
        }
        // A router's advertisement, and an echo.
        for kind in [134, 128] {
            assert!(!says(
                "fd00::1",
                to,
                255,
                &message(kind, Some("fd00::2"), &[])
            ));
        }
        assert!(says(
            LINK_LOCAL,
            "ff02::2",
            255,
            &message(133, None, &[&SOURCE])
        ));
    }
}
