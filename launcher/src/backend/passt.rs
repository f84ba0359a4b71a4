// SPDX-License-Identifier: MIT OR Apache-2.0

//! `passt`: a process that gives a network card the host's sockets, without privileges.
//!
//! It has one connection, a stream socket of ours, and ends when we close it, however we end. A frame has
//! its length before it, 4 bytes in network order, as with QEMU's `-netdev stream`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cki_session::{IpNet, Protocol, Publish};
use command_fds::{CommandFdExt as _, FdMapping};

use crate::virtio::net::{FRAME_MAX, Header, Link};

/// Bytes of the length before a frame.
const LENGTH: usize = 4;
/// Bytes that wait for passt before no more frames are taken.
const OUTGOING: usize = 128 << 10;
/// Bytes that are read at a time.
const INCOMING: usize = 256 << 10;
/// The MTU with the largest packets that passt takes, itself a multiple of 4.
const MTU: u16 = 65_520;
/// The socket's number in passt.
const SOCKET: i32 = 3;

/// passt cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PasstError {
    /// It is not there.
    #[error(
        "there is no passt, which gives containers their network: install it (Debian's package passt), or take --network none or bridge=NAME"
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
    /// A port is taken.
    #[error("the port {0} of the host cannot be published: another program listens there")]
    Port(Publish),
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
#[must_use]
pub fn program() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.parent()?.join("libexec/passt")));
    beside
        .filter(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from("passt"))
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
}

impl Passt {
    /// Starts passt; once this returns, it listens on all ports.
    ///
    /// # Errors
    /// [`PasstError`].
    pub fn start(program: &Path, settings: &Settings) -> Result<Self, PasstError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => PasstError::Missing,
            _ => PasstError::Start {
                program: program.to_owned(),
                source,
            },
        };
        let (ours, its) = UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(program);
        command
            .args(settings.arguments())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
            .fd_mappings(vec![FdMapping {
                parent_fd: OwnedFd::from(its),
                child_fd: SOCKET,
            }])
            .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
        // What was started ends when it is ready, and leaves a process in the background, or says why not.
        let output = command.output().map_err(failed)?;
        drop(command);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(reason(&said, &settings.publish));
        }
        Ok(Passt::over(ours))
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
        }
    }

    /// The length of the next frame, if it is there as a whole.
    fn ready(&mut self) -> Option<usize> {
        let length = self.incoming[self.from..self.to].first_chunk::<LENGTH>()?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_MAX {
            // Nothing that follows could be understood.
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
                Ok(0) => self.over = true,
                Ok(count) => self.to += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.over = true,
            }
            return;
        }
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
        if !self.over {
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
                Err(_) => self.over = true,
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
