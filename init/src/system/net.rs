// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network of this machine or container: its loopback interface, and its card.

use std::{fs, io};

use cki_session::Interface;

use crate::system::netlink::{Netlink, index};

/// The card: there is only one, and nothing renames it.
const CARD: &str = "eth0";
/// The groups whose processes may have ping sockets (Linux `Documentation/networking/ip-sysctl.rst`). All may, as with
/// systemd and in containers of other engines: passt, which sends a container's echo requests, is nobody.
const PING_GROUPS: (&str, &str) = ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");

/// The card cannot be set up as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// There is none.
    #[error("there is no network card ({CARD}) to set up: {0}")]
    NoCard(io::Error),
    /// Echo requests are for root alone.
    #[error("cannot let all users send echo requests ({file}): {0}", file = PING_GROUPS.0)]
    Ping(io::Error),
    /// The kernel refused a step.
    #[error("cannot {what} of the network card: {source}")]
    Step {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
}

/// Brings `lo` up, with the addresses 127.0.0.1 and ::1 that the kernel then gives it.
///
/// # Errors
/// The kernel's, as when the caller is not root.
pub fn raise_loopback() -> io::Result<()> {
    Netlink::new()?.raise(index("lo")?, None)
}

/// Sets the card up.
///
/// # Errors
/// [`NetError`].
pub fn set_up(interface: &Interface) -> Result<(), NetError> {
    let card = index(CARD).map_err(NetError::NoCard)?;
    let step = |what: String| move |source| NetError::Step { what, source };
    let netlink = Netlink::new().map_err(NetError::NoCard)?;
    let mtu = interface.mtu;
    netlink
        .raise(card, mtu)
        .map_err(step("use the link".to_owned()))?;
    for address in &interface.addresses {
        netlink
            .add_address(card, address)
            .map_err(step(format!("set the address {address}")))?;
    }
    for gateway in &interface.gateways {
        netlink
            .add_default_route(card, gateway)
            .map_err(step(format!("set the gateway {gateway}")))?;
    }
    fs::write(PING_GROUPS.0, PING_GROUPS.1).map_err(NetError::Ping)
}
