// SPDX-License-Identifier: MIT OR Apache-2.0

//! `passt`: a process that gives a network card the host's sockets, without privileges.
//!
//! It has one connection, a stream socket of ours, and ends when we close it, however we end. A frame has
//! its length before it, 4 bytes in network order, as with QEMU's `-netdev stream`.
//!
//! Until the container has sent something, nothing can come for it but what comes to published ports. So without
//! any, passt is started by the first frame that it could have an answer to.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cki_session::user_network::MTU;
use cki_session::{IpNet, Protocol, Publish};
use etherparse::icmpv6::{TYPE_NEIGHBOR_SOLICITATION, TYPE_ROUTER_SOLICITATION};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::unistd::{AccessFlags, access};

use super::standby::{self, SOCKET};
use crate::unblocked::{Unblocked, Way};
use crate::virtio::link::{FRAME_MAX, Header, Link};

/// Bytes of the length before a frame.
const LENGTH: usize = 4;
/// Bytes that wait for passt before no more frames are taken.
const OUTGOING: usize = 128 << 10;
/// Bytes that are read at a time.
const INCOMING: usize = 256 << 10;
/// Bytes of what it says that are read.
const SAID_MAX: u64 = 4096;

/// passt cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PasstError {
    /// It is not there.
    #[error(
        "there is no passt, which gives containers their network: install it (Debian's package passt), or take \
         --network none or bridge=NAME"
    )]
    Missing,
    /// It cannot be executed, or the socket cannot be made.
    #[error("cannot start {}: {source}", .program.display())]
    Start {
        /// Its file.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process that is to start it later cannot be started.
    #[error("cannot start the process that waits until passt is needed: {0}")]
    Standby(io::Error),
    /// A port is taken.
    #[error("the port {0} of the host cannot be published: another program listens there")]
    Port(Publish),
    /// It ended without a word.
    #[error("passt has ended")]
    Ended,
    /// It ended with an error.
    #[error("passt cannot be used here: {0}")]
    Refused(String),
}

/// What passt is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The container's addresses, one of each family at most. A family without one is switched off.
    pub addresses: Vec<IpNet>,
    /// The gateways that the container has.
    pub gateways: Vec<IpAddr>,
    /// An address that stands for the host's name server, where the host asks itself.
    pub dns_forward: Option<IpAddr>,
    /// Ports of the host that lead into the container.
    pub publish: Vec<Publish>,
}

impl Settings {
    /// passt's command line.
    fn arguments(&self) -> Vec<String> {
        let mut words = vec!["--quiet".to_owned(), "--no-map-gw".to_owned()];
        let mut say = |name: &str, value: String| words.extend([name.to_owned(), value]);
        say("--fd", SOCKET.to_string());
        say("--mtu", MTU.to_string());
        for net in &self.addresses {
            say("--address", net.addr().to_string());
            if let IpNet::V4(net) = net {
                say("--netmask", net.prefix_len().to_string());
            }
        }
        for gateway in &self.gateways {
            say("--gateway", gateway.to_string());
        }
        if let Some(address) = self.dns_forward {
            say("--dns-forward", address.to_string());
        }
        for port in &self.publish {
            let option = match port.protocol {
                Protocol::Tcp => "--tcp-ports",
                Protocol::Udp => "--udp-ports",
            };
            say(option, specification(port));
        }
        for (is_family, only) in [
            (IpNet::is_v4 as fn(&IpNet) -> bool, "--ipv6-only"),
            (IpNet::is_v6, "--ipv4-only"),
        ] {
            if !self.addresses.iter().any(is_family) {
                words.push(only.to_owned());
            }
        }
        // What it would answer questions with, the container is told already.
        for service in ["--no-dhcp", "--no-dhcpv6", "--no-ra"] {
            words.push(service.to_owned());
        }
        words
    }
}

trait Family {
    fn is_v4(&self) -> bool;
    fn is_v6(&self) -> bool;
}

impl Family for IpNet {
    fn is_v4(&self) -> bool {
        matches!(self, IpNet::V4(_))
    }

    fn is_v6(&self) -> bool {
        matches!(self, IpNet::V6(_))
    }
}

/// A port as passt is told.
fn specification(port: &Publish) -> String {
    let address = port.address.map(|address| format!("{address}/"));
    format!(
        "{}{}:{}",
        address.unwrap_or_default(),
        port.host,
        port.container
    )
}

/// The program: what was installed with us, or what the user has.
///
/// # Errors
/// [`PasstError::Missing`].
pub fn program() -> Result<PathBuf, PasstError> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.parent()?.join("libexec/passt")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .filter(|program| is_executable(program))
        .or_else(|| found_in(&path))
        .ok_or(PasstError::Missing)
}

/// The first in the directories of a `PATH`. Relative ones are left out: they are others where passt is executed.
fn found_in(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("passt"))
        .find(|program| is_executable(program))
}

fn is_executable(program: &Path) -> bool {
    program.is_file() && access(program, AccessFlags::X_OK).is_ok()
}

/// A connection to passt.
#[derive(Debug)]
pub struct Passt {
    /// As a file, it is read and written by read(2) and write(2), which the jail knows.
    socket: File,
    incoming: Box<[u8]>,
    /// What of `incoming` was read and not consumed.
    from: usize,
    to: usize,
    outgoing: Vec<u8>,
    /// What of `outgoing` was written.
    written: usize,
    over: bool,
    /// While it waits to be needed.
    waits: bool,
    /// Where it says why it cannot start, if that is not known yet.
    said: Option<File>,
    /// Standard error, where that is told. A reader of it that has stopped does not keep frames from us.
    sentences: Option<Unblocked>,
}

impl Passt {
    /// Starts passt; once this returns, it listens on all ports.
    ///
    /// # Errors
    /// [`PasstError`].
    pub fn start(program: &Path, settings: &Settings) -> Result<Self, PasstError> {
        let failed = failed(program);
        let (ours, its) = UnixStream::pair().map_err(&failed)?;
        ours.set_nonblocking(true).map_err(&failed)?;
        let command = standby::command(program, settings.arguments(), its.into());
        let mut command = command.map_err(&failed)?;
        // What was started ends when it is ready, and leaves a process in the background, or says why not.
        let output = command.stderr(Stdio::piped()).output().map_err(&failed)?;
        drop(command);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(reason(&said, &settings.publish));
        }
        Ok(Passt::over(ours))
    }

    /// Has passt started by the first frame that it could have an answer to, by a process of `ourselves`
    /// ([`standby::start`]). Whether it can start is known only then, and said on standard error if not.
    ///
    /// # Errors
    /// [`PasstError::Start`] and [`PasstError::Standby`].
    pub fn when_needed(
        ourselves: &Path,
        program: &Path,
        settings: &Settings,
    ) -> Result<Self, PasstError> {
        let failed = failed(program);
        let (ours, its) = UnixStream::pair().map_err(&failed)?;
        ours.set_nonblocking(true).map_err(&failed)?;
        let said = standby::start(ourselves, program, &settings.arguments(), its.into());
        let said = OwnedFd::from(said.map_err(PasstError::Standby)?);
        let sentences = sentences();
        Ok(Passt {
            waits: true,
            said: Some(said.into()),
            sentences: Some(sentences.map_err(&failed)?),
            ..Passt::over(ours)
        })
    }

    /// Speaks over this socket, which does not block.
    fn over(socket: UnixStream) -> Self {
        Passt {
            socket: File::from(OwnedFd::from(socket)),
            incoming: vec![0; INCOMING].into(),
            from: 0,
            to: 0,
            outgoing: Vec::with_capacity(OUTGOING + FRAME_MAX),
            written: 0,
            over: false,
            waits: false,
            said: None,
            sentences: None,
        }
    }

    /// Takes note that the other end of the socket is closed. Before the first frame from there, nobody knows whether
    /// passt could start: what it has said until now is then told as the reason, which it may not be.
    fn ends(&mut self) {
        self.over = true;
        if let (Some(said), Some(sentences)) = (self.said.take(), &mut self.sentences) {
            let reason = last_words(said);
            sentences.say(&format!("cki: the container has no network: {reason}"));
        }
    }

    /// The length of the next frame, if it is there as a whole.
    fn ready(&mut self) -> Option<usize> {
        let length = self.incoming[self.from..self.to].first_chunk::<LENGTH>()?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            // Nothing that follows could be understood. Whether passt still runs is not known.
            self.said = None;
            self.over = true;
            return None;
        }
        (self.to - self.from - LENGTH >= length).then_some(length)
    }

    /// Reads what has come, as far as there is room.
    fn fill(&mut self) {
        self.incoming.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        loop {
            match self.socket.read(&mut self.incoming[self.to..]) {
                Ok(0) => self.ends(),
                Ok(count) => self.to += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.ends(),
            }
            return;
        }
    }
}

/// An error of starting `program`, as one of ours.
fn failed(program: &Path) -> impl Fn(io::Error) -> PasstError + '_ {
    |source| match source.kind() {
        io::ErrorKind::NotFound => PasstError::Missing,
        _ => PasstError::Start {
            program: program.to_owned(),
            source,
        },
    }
}

/// Standard error, written without waiting.
fn sentences() -> io::Result<Unblocked> {
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Unblocked::new(&file, Way::Out)
}

/// Why passt has ended. It has, or is in the background with its standard error closed: there is nothing to wait for.
fn last_words(said: impl Read) -> PasstError {
    let mut text = Vec::new();
    // What cannot be read was not said.
    let _ = said.take(SAID_MAX).read_to_end(&mut text);
    match &*String::from_utf8_lossy(&text) {
        "" => PasstError::Ended,
        said => reason(said, &[]),
    }
}

/// Whether passt could have an answer to a frame. It has none for a station that asks whether an address is free
/// (RFC 4862 5.4), and, told to be no router (`--no-ra`), for one that looks for routers.
fn is_heard(frame: &[u8]) -> bool {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return true;
    };
    let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) =
        (&packet.net, &packet.transport)
    else {
        return true;
    };
    match icmp.type_u8() {
        TYPE_ROUTER_SOLICITATION => false,
        TYPE_NEIGHBOR_SOLICITATION => !ip.header().source_addr().is_unspecified(),
        _ => true,
    }
}

/// What passt said, as an error of ours.
fn reason(said: &str, publish: &[Publish]) -> PasstError {
    let taken = publish
        .iter()
        .find(|port| said.contains("Failed to bind") && said.contains(&specification(port)));
    if let Some(port) = taken {
        return PasstError::Port(*port);
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    PasstError::Refused(last.unwrap_or("it did not say why").trim().to_owned())
}

impl AsFd for Passt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Link for Passt {
    fn offloads(&self) -> bool {
        false
    }

    fn mtu(&self) -> u16 {
        MTU
    }

    fn has_room(&self) -> bool {
        self.outgoing.len() < OUTGOING
    }

    fn send(&mut self, _: &Header, frame: &[u8]) {
        self.waits &= !is_heard(frame);
        // passt has room for a frame as long as the longest packet, and a guest that heeds the MTU sends none longer.
        if !self.over && !self.waits && frame.len() <= usize::from(u16::MAX) {
            self.outgoing.extend((frame.len() as u32).to_be_bytes());
            self.outgoing.extend(frame);
        }
    }

    fn flush(&mut self) -> bool {
        while self.written < self.outgoing.len() && !self.over {
            match self.socket.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => self.ends(),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        false
    }

    fn frame(&mut self) -> Option<(Header, &[u8])> {
        if self.ready().is_none() && !self.over {
            self.fill();
        }
        let length = self.ready()?;
        // passt sends frames once it has started; what it said before that would tell nothing about its end.
        self.said = None;
        let start = self.from + LENGTH;
        Some((Header::default(), &self.incoming[start..start + length]))
    }

    fn consume(&mut self) {
        if let Some(length) = self.ready() {
            self.from += LENGTH + length;
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
#[path = "passt_tests.rs"]
mod tests;
