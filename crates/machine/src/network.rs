// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine's network: QEMU's user network, which needs no rights, on our own sockets.
//!
//! The machine reaches what we reach, but not what listens on our loopback interface; ports that are
//! published lead into it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use cki_session::user_network::{
    GATEWAY, GATEWAY_6, MACHINE, MACHINE_6, MTU, NAMESERVER, NAMESERVER_6, NETWORK_6, PREFIX,
    PREFIX_6,
};
use cki_session::{Interface, IpNet, Protocol, Publish};

use super::error::MachineError;

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
                // QEMU's hostfwd takes IPv4 only.
                Some(IpAddr::V6(_)) => Err(io::ErrorKind::Unsupported.into()),
                Some(address) => Ok(address),
                None => Ok(Ipv4Addr::UNSPECIFIED.into()),
            };
            let free = address.and_then(|address| {
                let address = SocketAddr::new(address, port.host);
                match port.protocol {
                    Protocol::Tcp => TcpListener::bind(address).map(drop),
                    Protocol::Udp => UdpSocket::bind(address).map(drop),
                }
            });
            free.map_err(|source| MachineError::Port {
                port: our_end(port),
                remedy: remedy(&source),
                source,
            })?;
        }
        Ok(())
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
        io::ErrorKind::Unsupported => "the emulator publishes on IPv4 addresses only",
        _ => "publish another port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn addresses_that_cannot_be_listened_on_are_refused() {
        for (port, part) in [
            ("[::1]:8080:80", "[::1]:8080/tcp: "),
            ("[::1]:8080:80", "IPv4 addresses only"),
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
