// SPDX-License-Identifier: MIT OR Apache-2.0

//! One connection: a stream of the host's, and what the guest and we owe each other about it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::packet::{Header, NO_RECEIVE, NO_SEND, op};

/// Bytes that are kept of what the guest sent and the stream has not taken.
pub const BUFFER: u32 = 32 << 10;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// On the host.
    pub host: u32,
    /// In the guest.
    pub guest: u32,
}

/// What is waited for on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Something to read, or the end.
    pub read: bool,
    /// Room.
    pub write: bool,
}

/// Packets that the guest is to get; those of data are not among them.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    request: bool,
    response: bool,
    reset: bool,
    shutdown: bool,
    credit: bool,
    ask: bool,
}

/// A connection.
#[derive(Debug)]
pub struct VsockConnection {
    /// Its ends.
    pub ports: Ports,
    stream: UnixStream,
    /// What is waited for now, as the host knows it.
    pub armed: Interest,
    /// Accepted by the side that was asked.
    open: bool,
    owed: Owed,

    buffer: VecDeque<u8>,
    guest_sends: bool,
    received: u32,
    forwarded: u32,
    /// `forwarded` in the last packet to the guest.
    told: u32,

    guest_receives: bool,
    host_sends: bool,
    /// There may be something to read.
    readable: bool,
    sent: u32,
    guest_room: u32,
    guest_forwarded: u32,
    asked: bool,
    /// The guest has forgotten it.
    abandoned: bool,
}

impl VsockConnection {
    fn new(ports: Ports, stream: UnixStream) -> Self {
        VsockConnection {
            ports,
            stream,
            armed: Interest::default(),
            open: false,
            owed: Owed::default(),
            buffer: VecDeque::new(),
            guest_sends: true,
            received: 0,
            forwarded: 0,
            told: 0,
            guest_receives: true,
            host_sends: true,
            readable: true,
            sent: 0,
            guest_room: 0,
            guest_forwarded: 0,
            asked: false,
            abandoned: false,
        }
    }

    /// One that the guest asked for and gets.
    #[must_use]
    pub fn accepted(ports: Ports, stream: UnixStream) -> Self {
        let mut connection = VsockConnection::new(ports, stream);
        connection.open = true;
        connection.owed.response = true;
        connection
    }

    /// One that the guest is asked for.
    #[must_use]
    pub fn requested(ports: Ports, stream: UnixStream) -> Self {
        let mut connection = VsockConnection::new(ports, stream);
        connection.owed.request = true;
        connection
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Takes what a packet's header says of the guest's room.
    pub fn credit(&mut self, header: &Header) {
        self.guest_room = header.buf_alloc;
        self.guest_forwarded = header.fwd_cnt;
        if self.room() != 0 {
            self.asked = false;
        }
    }

    /// Bytes that the guest takes now. 0 for a guest whose numbers make no sense.
    fn room(&self) -> usize {
        let under_way = self.sent.wrapping_sub(self.guest_forwarded);
        self.guest_room.saturating_sub(under_way) as usize
    }

    /// The guest accepts; the client is told with which port it speaks.
    pub fn response(&mut self) {
        if self.open || self.owed.request {
            return self.end();
        }
        self.open = true;
        let line = format!("OK {}\n", self.ports.host);
        // A new stream has room for it.
        if !matches!(self.stream.write(line.as_bytes()), Ok(count) if count == line.len()) {
            self.end();
        }
    }

    /// How many bytes of data the guest may send now: what was promised and has not been used.
    #[must_use]
    pub fn promised(&self) -> u32 {
        match self.open && self.guest_sends {
            true => BUFFER - self.buffer.len() as u32,
            false => 0,
        }
    }

    /// Data of the guest's, not more than [`VsockConnection::promised`].
    pub fn data(&mut self, mut bytes: &[u8]) {
        self.received = self.received.wrapping_add(bytes.len() as u32);
        while !bytes.is_empty() && self.buffer.is_empty() {
            match self.stream.write(bytes) {
                Ok(count @ 1..) => {
                    self.forwarded = self.forwarded.wrapping_add(count as u32);
                    bytes = bytes.get(count..).unwrap_or(&[]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => return self.end(),
            }
        }
        self.buffer.extend(bytes);
        self.after_flush();
    }

    /// The guest ends a direction, or both.
    pub fn shutdown(&mut self, flags: u32) {
        if flags & NO_SEND != 0 {
            self.guest_sends = false;
        }
        if flags & NO_RECEIVE != 0 {
            self.guest_receives = false;
            // Whoever writes there hears of it.
            let _ = self.stream.shutdown(Shutdown::Read);
        }
        self.after_flush();
    }

    /// The guest asks how much room there is.
    pub fn owe_credit(&mut self) {
        self.owed.credit = true;
    }

    /// The guest has forgotten it, as Linux does some seconds after it has said its end. Whether the stream is still to
    /// take what was sent before that.
    pub fn abandon(&mut self) -> bool {
        self.open = false;
        self.owed = Owed::default();
        self.abandoned = !self.guest_sends && !self.buffer.is_empty();
        self.abandoned
    }

    /// Whether the guest has forgotten it, and the stream has taken everything, or takes nothing any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.abandoned && self.buffer.is_empty()
    }

    /// Ends it: the guest is told, unless it has forgotten it, and it is forgotten then.
    pub fn end(&mut self) {
        self.owed = Owed {
            reset: !self.abandoned,
            ..Owed::default()
        };
        self.open = false;
        self.buffer.clear();
    }

    /// The stream may have something to read, or room.
    pub fn ready(&mut self) {
        self.readable = true;
        while !self.buffer.is_empty() {
            match self.stream.write(self.buffer.as_slices().0) {
                Ok(count @ 1..) => {
                    self.buffer.drain(..count);
                    self.forwarded = self.forwarded.wrapping_add(count as u32);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => return self.end(),
            }
        }
        self.after_flush();
    }

    fn after_flush(&mut self) {
        if !self.open {
            return;
        }
        let unknown_to_guest = self.forwarded != self.told;
        if unknown_to_guest && self.received.wrapping_sub(self.told) >= BUFFER / 2 {
            self.owed.credit = true;
        }
        if self.guest_sends || !self.buffer.is_empty() {
            return;
        }
        if self.guest_receives {
            // Again does no harm.
            let _ = self.stream.shutdown(Shutdown::Write);
        } else {
            self.end();
        }
    }

    fn reads(&self) -> bool {
        self.open && self.host_sends && self.guest_receives
    }

    /// Whether there is a packet for the guest.
    #[must_use]
    pub fn has_packet(&self) -> bool {
        let Owed {
            request,
            response,
            reset,
            shutdown,
            credit,
            ask,
        } = self.owed;
        let owes = request || response || reset || shutdown || credit || ask;
        owes || self.reads() && self.readable && (self.room() != 0 || !self.asked)
    }

    /// What is to be waited for.
    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest {
            read: self.reads() && !self.readable && self.room() != 0,
            write: !self.buffer.is_empty(),
        }
    }

    /// The next packet for the guest, with not more data than `data` holds: its operation and flags, and how
    /// many bytes of `data` belong to it. After [`op::RST`], the connection is to be forgotten.
    pub fn packet(&mut self, data: &mut [u8]) -> Option<(u16, u32, usize)> {
        let take = |owed: &mut bool| std::mem::take(owed);
        if take(&mut self.owed.reset) {
            return Some((op::RST, 0, 0));
        }
        if take(&mut self.owed.request) {
            return Some((op::REQUEST, 0, 0));
        }
        if take(&mut self.owed.response) {
            return Some((op::RESPONSE, 0, 0));
        }
        if let Some(count) = self.read(data) {
            self.sent = self.sent.wrapping_add(count as u32);
            return Some((op::RW, 0, count));
        }
        if take(&mut self.owed.reset) {
            return Some((op::RST, 0, 0));
        }
        if take(&mut self.owed.shutdown) {
            return Some((op::SHUTDOWN, NO_SEND, 0));
        }
        if take(&mut self.owed.credit) {
            return Some((op::CREDIT_UPDATE, 0, 0));
        }
        take(&mut self.owed.ask).then_some((op::CREDIT_REQUEST, 0, 0))
    }

    /// Reads what the guest has room for.
    fn read(&mut self, data: &mut [u8]) -> Option<usize> {
        if !self.reads() || !self.readable {
            return None;
        }
        let room = data.len().min(self.room());
        if room == 0 {
            self.owed.ask |= !self.asked && !data.is_empty();
            self.asked |= !data.is_empty();
            return None;
        }
        loop {
            return match self.stream.read(&mut data[..room]) {
                Ok(count @ 1..) => Some(count),
                Ok(_) => {
                    self.host_sends = false;
                    self.owed.shutdown = true;
                    None
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    None
                }
                Err(_) => {
                    self.end();
                    None
                }
            };
        }
    }

    /// `buf_alloc` and `fwd_cnt` of a packet that is sent now.
    pub fn tell(&mut self) -> (u32, u32) {
        self.told = self.forwarded;
        self.owed.credit = false;
        (BUFFER, self.forwarded)
    }
}

/// What a client's first line asks for: `CONNECT port`.
///
/// # Errors
/// When it asks for anything else.
pub fn asked_port(line: &[u8]) -> io::Result<u32> {
    let text = std::str::from_utf8(line).ok();
    text.and_then(|text| text.strip_prefix("CONNECT "))
        .and_then(|port| port.trim_end_matches('\r').parse().ok())
        .ok_or_else(|| ErrorKind::InvalidData.into())
}
