// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine's network: QEMU's user network, which needs no rights, on our own sockets.
//!
//! The machine reaches what we reach, but not what listens on our loopback interface; ports that are
//! published lead into it, on IPv6 by a relay of ours.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use cki_session::user_network::{
    GATEWAY, GATEWAY_6, MACHINE, MACHINE_6, MTU, NAMESERVER, NAMESERVER_6, NETWORK_6, PREFIX,
    PREFIX_6,
};
use cki_session::{Interface, IpNet, Protocol, Publish};
use rustix::io::Errno;

use super::error::MachineError;
use super::ipv6::{Door, Relay, hop, is_for_qemu, reached_at, same_way};

/// A network card on QEMU's user network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineNetwork {
    /// Our ports, each with the machine's port that it leads to as [`Publish::container`].
    pub publish: Vec<Publish>,
}

impl MachineNetwork {
    /// How the machine's init sets the card up.
    #[must_use]
    pub fn interface(&self) -> Interface {
        let net = |address: IpAddr, prefix| IpNet::new_assert(address, prefix);
        Interface {
            addresses: vec![net(MACHINE.into(), PREFIX), net(MACHINE_6.into(), PREFIX_6)],
            gateways: vec![GATEWAY.into(), GATEWAY_6.into()],
            nameservers: vec![NAMESERVER.into()],
            mtu: Some(MTU),
            hosts: Vec::new(),
        }
    }

    /// QEMU's words for the network, behind the card `device`.
    pub(crate) fn words(&self, device: &str) -> [String; 4] {
        let mut netdev = format!(
            "user,id=net,host-loopback=off,mtu={MTU},ipv6-prefix={NETWORK_6},ipv6-host={GATEWAY_6},\
             ipv6-dns={NAMESERVER_6}"
        );
        for port in &self.publish {
            netdev += &format!(",hostfwd={}", rule(port));
        }
        [
            "-netdev".to_owned(),
            netdev,
            "-device".to_owned(),
            format!("{device},netdev=net"),
        ]
    }

    /// Whether the ports are free, which QEMU would say less clearly.
    ///
    /// # Errors
    /// [`MachineError::Port`] for the first that is not.
    pub fn check(&self) -> Result<(), MachineError> {
        for port in &self.publish {
            let address = match port.address {
                None => Some(Ipv4Addr::UNSPECIFIED),
                Some(IpAddr::V4(address)) => Some(address),
                Some(IpAddr::V6(_)) => None,
            };
            if let Some(address) = address {
                let address = SocketAddr::new(address.into(), port.host);
                let free = match port.protocol {
                    Protocol::Tcp => TcpListener::bind(address).map(drop),
                    Protocol::Udp => UdpSocket::bind(address).map(drop),
                };
                free.map_err(|source| cannot_be_had(port, source))?;
            }
            door(port)?;
        }
        Ok(())
    }

    /// Listens on IPv6, which QEMU does not. Gives what QEMU is to publish, and what relays to that for as long as it
    /// is kept.
    ///
    /// # Errors
    /// [`MachineError::Port`] for the first port that cannot be had.
    pub(crate) fn open(&self) -> Result<(Self, Relay), MachineError> {
        let for_qemu = self.publish.iter().filter(|port| is_for_qemu(port));
        let mut publish: Vec<_> = for_qemu.copied().collect();
        let mut ways = Vec::new();
        for port in &self.publish {
            let Some(door) = door(port)? else { continue };
            if same_way(port, &publish).is_none() {
                let taken = [&self.publish[..], &publish].concat();
                publish.push(hop(port, &taken).map_err(MachineError::Sockets)?);
            }
            let way = same_way(port, &publish);
            ways.extend(way.map(|way| (door, reached_at(way))));
        }
        let relay = Relay::start(ways).map_err(MachineError::Sockets)?;
        Ok((Self { publish }, relay))
    }
}

/// The socket on IPv6 of a published port, if it has one.
///
/// # Errors
/// [`MachineError::Port`].
pub(crate) fn door(port: &Publish) -> Result<Option<Door>, MachineError> {
    Door::open(port).map_err(|source| {
        let address = port.address.or(Some(Ipv6Addr::UNSPECIFIED.into()));
        cannot_be_had(&Publish { address, ..*port }, source)
    })
}

fn cannot_be_had(port: &Publish, source: io::Error) -> MachineError {
    MachineError::Port {
        port: our_end(port),
        remedy: remedy(&source),
        source,
    }
}

/// Our end of a published port, for people. The other may be a hop inside of the machine, which nobody has asked for.
pub(crate) fn our_end(port: &Publish) -> String {
    let address = port.address.map(|address| match address {
        IpAddr::V4(address) => format!("{address}:"),
        IpAddr::V6(address) => format!("[{address}]:"),
    });
    let address = address.unwrap_or_default();
    format!("{address}{}/{}", port.host, port.protocol)
}

/// Our end of a published port, as QEMU has it.
pub(crate) fn listener(port: &Publish) -> String {
    let address = port.address.map(|address| address.to_string());
    let address = address.unwrap_or_default();
    format!("{}:{address}:{}", port.protocol, port.host)
}

/// QEMU's rule for a published port.
pub(crate) fn rule(port: &Publish) -> String {
    format!("{}-{MACHINE}:{}", listener(port), port.container)
}

/// What to do about a port that cannot be had.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or publish another port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are root's: publish a higher one",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address",
        // EAFNOSUPPORT, which has no kind.
        _ if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            "this machine has no IPv6: publish on an address of IPv4"
        }
        io::ErrorKind::InvalidInput => {
            "it can be no address of a single link (fe80::), and none of IPv4 that is written as one of IPv6"
        }
        _ => "publish another port",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    /// A port that nobody has, on neither family.
    fn free_on_both() -> u16 {
        // Without IPV6_V6ONLY, as the standard library leaves it.
        let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("this test needs IPv6");
        both.local_addr().unwrap().port()
    }

    fn network(ports: &[&str]) -> MachineNetwork {
        MachineNetwork {
            publish: ports.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn ports_become_rules_of_the_user_network() {
        let words = network(&["8080:80", "127.0.0.1:53:5353/udp"]).words("virtio-net-device,bus=b");
        assert_eq!(
            words[1],
            "user,id=net,host-loopback=off,mtu=65520,ipv6-prefix=fd4c:6b49:3a7e::,ipv6-host=fd4c:6b49:3a7e::2,\
             ipv6-dns=fd4c:6b49:3a7e::3,hostfwd=tcp::8080-10.0.2.15:80,\
             hostfwd=udp:127.0.0.1:53-10.0.2.15:5353"
        );
        assert_eq!(words[3], "virtio-net-device,bus=b,netdev=net");
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let ours = network(&[&format!("127.0.0.1:{port}:80")]);
        let error = ours.check().unwrap_err().to_string();
        let named = format!("cannot publish the port 127.0.0.1:{port}/tcp: ");
        assert!(
            error.starts_with(&named) && error.contains("another program"),
            "{error}"
        );
        drop(taken);
        ours.check().unwrap();
    }

    #[test]
    fn a_port_without_an_address_is_published_on_both_families() {
        let port = free_on_both();
        let (published, relay) = network(&[&format!("{port}:80")]).open().unwrap();
        assert_eq!(
            rule(&published.publish[0]),
            format!("tcp::{port}-10.0.2.15:80")
        );
        // As QEMU listens.
        let server = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        for address in [
            Ipv4Addr::LOCALHOST.into(),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            let mut client = TcpStream::connect((address, port)).unwrap();
            server.accept().unwrap().0.write_all(b"here").unwrap();
            let mut heard = String::new();
            client.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "here", "{address}");
        }
        drop(relay);
    }

    #[test]
    fn a_port_on_ipv6_has_a_hop_on_ipv4() {
        let port = free_on_both();
        let (published, _relay) = network(&[&format!("[::1]:{port}:80/udp")]).open().unwrap();
        let hop = published.publish[0];
        assert_eq!(hop.address, Some(Ipv4Addr::LOCALHOST.into()));
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, hop.host)).unwrap();
        let client = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        client.send_to(b"?", (Ipv6Addr::LOCALHOST, port)).unwrap();
        let (_, whence) = server.recv_from(&mut [0; 9]).unwrap();
        server.send_to(b"!", whence).unwrap();
        let (count, from) = client.recv_from(&mut [0; 9]).unwrap();
        assert_eq!((count, from), (1, (Ipv6Addr::LOCALHOST, port).into()));
    }

    #[test]
    fn one_port_of_the_machine_on_several_addresses_has_one_rule_at_most_for_those_of_ipv6() {
        let (one, other) = (free_on_both(), free_on_both());
        let hosts = [
            format!("[::1]:{one}:53/udp"),
            format!("[::]:{other}:53/udp"),
        ];
        let (published, relay) = network(&[&hosts[0], &hosts[1]]).open().unwrap();
        assert_eq!(published.publish.len(), 1);
        drop(relay);
        let v4 = format!("127.0.0.1:{other}:53/udp");
        let (published, _relay) = network(&[&hosts[0], &v4]).open().unwrap();
        assert_eq!(published, network(&[&v4]));
    }

    #[test]
    fn a_port_that_is_taken_on_ipv6_alone_is_named_with_its_address() {
        let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("this test needs IPv6: ::1");
        let port = taken.local_addr().unwrap().port();
        for (publish, named) in [("", "[::]:"), ("[::1]:", "[::1]:")] {
            let ours = network(&[&format!("{publish}{port}:80")]);
            let named = format!("cannot publish the port {named}{port}/tcp: ");
            for result in [ours.check(), ours.open().map(drop)] {
                let error = result.unwrap_err().to_string();
                let remedy = "another program listens there";
                assert!(
                    error.starts_with(&named) && error.contains(remedy),
                    "{error}"
                );
            }
        }
        network(&[&format!("127.0.0.1:{port}:80")]).check().unwrap();
    }

    #[test]
    fn addresses_that_cannot_be_listened_on_are_refused() {
        for (port, part) in [
            ("[2001:db8::99]:8080:80/udp", "[2001:db8::99]:8080/udp: "),
            ("[2001:db8::99]:8080:80", "no interface"),
            ("[fe80::1]:8080:80", "no address of a single link"),
            ("[::ffff:127.0.0.1]:8080:80", "none of IPv4"),
            ("192.0.2.99:8080:80", "192.0.2.99:8080/tcp: "),
            ("192.0.2.99:8080:80", "no interface"),
        ] {
            let error = network(&[port]).check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_interface_can_be_set_up() {
        let mut run = cki_session::Run::new(["true"]);
        run.interface = Some(network(&[]).interface());
        run.check().unwrap();
    }
}
