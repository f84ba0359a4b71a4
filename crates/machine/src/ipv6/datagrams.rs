// SPDX-License-Identifier: MIT OR Apache-2.0

//! Datagrams, and to which of our addresses each was sent. An answer comes from there: where we have several, the
//! kernel would choose one, and clients take no answer from another than they have asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
    sockopt,
};

/// Both ends of a way: a client, and the address of ours that it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) client: SocketAddrV6,
    pub(super) ours: Ipv6Addr,
}

/// Has the kernel tell the addresses.
pub(super) fn prepare(socket: impl AsFd) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?)
}

/// The next datagram, if there is one: how many bytes it has, and whose it is.
pub(super) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Ends)> {
    let mut space = nix::cmsg_space!(in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn6>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let ours = message.cmsgs()?.find_map(|told| match told {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_addr.s6_addr.into()),
        _ => None,
    });
    let ends = message.address.zip(ours).map(|(client, ours)| Ends {
        client: client.into(),
        ours,
    });
    let nothing_told = || io::Error::other("the kernel does not say whose a datagram is");
    Ok((message.bytes, ends.ok_or_else(nothing_told)?))
}

/// Sends a datagram to the client. What finds no room is lost.
pub(super) fn answer(socket: impl AsFd, bytes: &[u8], ends: &Ends) -> io::Result<()> {
    let mut from = in6_pktinfo {
        ipi6_addr: nix::libc::in6_addr {
            s6_addr: ends.ours.octets(),
        },
        // By whichever interface leads there; the client's address names it where that matters.
        ipi6_ifindex: 0,
    };
    // That is nobody's own.
    if ends.ours.is_multicast() {
        from.ipi6_addr.s6_addr = Ipv6Addr::UNSPECIFIED.octets();
    }
    sendmsg(
        socket.as_fd().as_raw_fd(),
        &[IoSlice::new(bytes)],
        &[ControlMessage::Ipv6PacketInfo(&from)],
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrIn6::from(ends.client)),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked_or_not_at_all() {
        let on = |address| {
            UdpSocket::bind((address, 0)).expect("this test needs IPv6 on the loopback interface")
        };
        let (client, door) = (on(Ipv6Addr::LOCALHOST), on(Ipv6Addr::UNSPECIFIED));
        prepare(&door).unwrap();
        let at = (Ipv6Addr::LOCALHOST, door.local_addr().unwrap().port());
        client.send_to(b"question", at).unwrap();
        // On the loopback interface it is there when it is sent.
        let mut buffer = [0; 100];
        let (count, ends) = receive(&door, &mut buffer).unwrap();
        assert_eq!((&buffer[..count], ends.ours), (&b"question"[..], at.0));
        let nothing = receive(&door, &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let ours = "2001:db8::99".parse().unwrap();
        answer(&door, b"not ours", &Ends { ours, ..ends }).unwrap_err();
        answer(&door, b"answer", &ends).unwrap();
        let (count, whence) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], whence), (&b"answer"[..], at.into()));
    }
}
