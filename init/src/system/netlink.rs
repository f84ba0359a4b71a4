// SPDX-License-Identifier: MIT OR Apache-2.0

//! Requests to the kernel about its network interfaces (rtnetlink(7)).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily as SocketFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv,
    sendto, socket,
};

/// A socket to ask with.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    /// A socket.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn new() -> io::Result<Self> {
        Ok(Netlink(socket(
            SocketFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?))
    }

    /// Brings an interface up, with an MTU if one is given.
    ///
    /// # Errors
    /// The kernel's, as for an MTU that the card does not take.
    pub fn raise(&self, interface: u32, mtu: Option<u16>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = interface;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = mtu
            .map(|mtu| LinkAttribute::Mtu(mtu.into()))
            .into_iter()
            .collect();
        self.ask(RouteNetlinkMessage::SetLink(message))
    }

    /// Gives an interface an address. An IPv6 address is not looked for elsewhere first (DAD), which would take a
    /// second: whoever gave it knows.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_address(&self, interface: u32, net: &IpNet) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = interface;
        message.header.family = family(&net.addr());
        message.header.prefix_len = net.prefix_len();
        message
            .attributes
            .push(AddressAttribute::Address(net.addr()));
        match net {
            IpNet::V4(net) => message.attributes.extend([
                AddressAttribute::Local(net.addr().into()),
                AddressAttribute::Broadcast(net.broadcast()),
            ]),
            IpNet::V6(_) => {
                let flags = AddressFlags::Nodad | AddressFlags::Permanent;
                message.attributes.push(AddressAttribute::Flags(flags));
            }
        }
        self.ask(RouteNetlinkMessage::NewAddress(message))
    }

    /// Sends packets for all other networks to `gateway`.
    ///
    /// # Errors
    /// The kernel's, as for a gateway that no address of the interface reaches.
    pub fn add_default_route(&self, interface: u32, gateway: &IpAddr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(gateway),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Boot,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Gateway(RouteAddress::from(*gateway)),
            RouteAttribute::Oif(interface),
        ];
        self.ask(RouteNetlinkMessage::NewRoute(message))
    }

    /// Sends a request and waits for the kernel's answer to it.
    fn ask(&self, request: RouteNetlinkMessage) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        let mut answer = vec![0; 4096];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length]);
        match answer.map_err(io::Error::other)?.payload {
            // No code is an acknowledgement.
            NetlinkPayload::Error(error) => error.code.map_or(Ok(()), |_| Err(error.to_io())),
            other => Err(io::Error::other(format!("an unexpected answer: {other:?}"))),
        }
    }
}

/// The number of an interface.
///
/// # Errors
/// ENODEV when there is none of this name.
pub fn index(name: &str) -> io::Result<u32> {
    Ok(if_nametoindex(name)?)
}

fn family(address: &IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_refuses_what_cannot_be() {
        let netlink = Netlink::new().unwrap();
        let none = 0x7fff_ffff;
        let codes = [
            libc::ENODEV,
            libc::EPERM,
            libc::ENETUNREACH,
            libc::EOPNOTSUPP,
        ];
        for result in [
            netlink.raise(none, None),
            netlink.add_address(none, &"192.0.2.7/24".parse().unwrap()),
            netlink.add_default_route(none, &"192.0.2.1".parse().unwrap()),
        ] {
            // EPERM for all but root, whom the kernel does not tell more.
            let error = result.unwrap_err();
            assert!(
                codes.contains(&error.raw_os_error().unwrap_or(0)),
                "{error}"
            );
        }
    }

    #[test]
    fn an_interface_that_does_not_exist_has_no_number() {
        assert_eq!(
            index("cki-none").unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
        assert!(index("lo").unwrap() > 0);
    }
}
