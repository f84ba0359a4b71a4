// SPDX-License-Identifier: MIT OR Apache-2.0

//! A socket device (virtio 1.2, 5.10): streams between the guest, which is context 3, and the host.
//!
//! | file | what |
//! |---|---|
//! | [`packet`] | the header of a packet |
//! | [`connection`] | one connection: its stream, and the room that each side promised the other |
//!
//! What a guest can make us keep is bounded: [`CONNECTIONS`] connections of [`connection::BUFFER`]
//! bytes, and as many refusals as a queue has entries. A guest that sends more than it was promised, or
//! packets that make no sense in a connection, loses the connection; one that takes no packets is not
//! listened to.

pub mod connection;
pub mod packet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;
use virtio_queue::{DescriptorChain, Queue, QueueT, Reader};
use vm_memory::GuestMemoryMmap;

use super::drain::{Step, drain};
use super::tallies::OfSockets;
use super::{Device, DriverFault, Next, QUEUE_SIZE, copy_config};
use crate::counts::Tallied;
use connection::{Interest, Ports, VsockConnection};
use packet::{Header, SIZE, STREAM, op};

/// Context of the host (5.10.4).
pub const HOST: u64 = 2;
/// Context of the guest.
pub const GUEST: u64 = 3;
/// Connections at most.
pub const CONNECTIONS: usize = 128;
/// First port that a client of the host's speaks from.
const FIRST_PORT: u32 = 1 << 30;
/// Queues (5.10.2): to the guest, from the guest, and one of events, which has nothing to tell.
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Bytes moved at a time.
const PIECE: usize = 16 << 10;

/// What happened on the host's side.
#[derive(Debug)]
pub enum HostEvent {
    /// A client asks for a port of the guest.
    Asked(u32, UnixStream),
    /// A stream that is watched may have something to read, or room.
    Ready(u64),
}

/// The host's side. Nothing in it waits, and streams do not block.
pub trait Host: Send {
    /// A descriptor that is readable when something happened.
    fn source(&self) -> BorrowedFd<'_>;
    /// What happened; not all of it at once, perhaps.
    fn events(&mut self) -> Vec<HostEvent>;
    /// A stream to whoever listens for connections of the guest's to this port.
    ///
    /// # Errors
    /// When nobody does.
    fn connect(&mut self, port: u32) -> io::Result<UnixStream>;
    /// Watches a stream for something else from now on; [`HostEvent::Ready`] names it by `token`.
    ///
    /// # Errors
    /// When no more can be watched.
    fn watch(
        &mut self,
        stream: &UnixStream,
        token: u64,
        from: Interest,
        to: Interest,
    ) -> io::Result<()>;
}

/// The device.
pub struct Vsock<H> {
    host: H,
    connections: BTreeMap<u64, VsockConnection>,
    tokens: BTreeMap<Ports, u64>,
    /// Connections that may have a packet for the guest; none is here twice.
    waiting: VecDeque<u64>,
    /// Refusals for the guest.
    resets: VecDeque<Ports>,
    next_token: u64,
    next_port: u32,
    piece: Box<[u8]>,
    tally: Arc<OfSockets>,
}

impl<H: Host> Vsock<H> {
    /// A device without connections.
    pub fn new(host: H) -> Self {
        Vsock {
            host,
            connections: BTreeMap::new(),
            tokens: BTreeMap::new(),
            waiting: VecDeque::new(),
            resets: VecDeque::new(),
            next_token: 0,
            next_port: FIRST_PORT,
            piece: vec![0; PIECE].into(),
            tally: Arc::default(),
        }
    }

    fn add(&mut self, connection: VsockConnection) {
        self.tally.connections.add(1);
        let token = self.next_token;
        self.next_token += 1;
        self.tokens.insert(connection.ports, token);
        self.connections.insert(token, connection);
        self.settle(token);
    }

    fn forget(&mut self, token: u64) {
        if let Some(connection) = self.connections.remove(&token) {
            // The guest may use the ports of one that it has forgotten for another.
            if self.tokens.get(&connection.ports) == Some(&token) {
                self.tokens.remove(&connection.ports);
            }
            // Closing it would do, if nobody else had the stream.
            let (nothing, stream) = (Interest::default(), connection.stream());
            let _ = self.host.watch(stream, token, connection.armed, nothing);
        }
        self.waiting.retain(|&waiting| waiting != token);
    }

    /// After anything happened to a connection: has it watched for what it needs, and remembers that it may have
    /// a packet.
    fn settle(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let (from, to) = (connection.armed, connection.interest());
        if from != to {
            match self.host.watch(connection.stream(), token, from, to) {
                Ok(()) => connection.armed = to,
                Err(_) => connection.end(),
            }
        }
        if connection.is_drained() {
            return self.forget(token);
        }
        if connection.has_packet() && !self.waiting.contains(&token) {
            self.waiting.push_back(token);
        }
    }

    /// A client of the host's asks for a port of the guest. Without room, its stream is closed.
    fn asked(&mut self, port: u32, stream: UnixStream) {
        if self.connections.len() == CONNECTIONS {
            return;
        }
        let ports = loop {
            let ports = Ports {
                host: self.next_port,
                guest: port,
            };
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.tokens.contains_key(&ports) {
                break ports;
            }
        };
        self.add(VsockConnection::requested(ports, stream));
    }

    /// A packet of the guest's. What is not between the guest and the host is passed over.
    fn transmitted(&mut self, header: &Header, reader: &mut Reader<'_>) -> Result<(), DriverFault> {
        if (header.src_cid, header.dst_cid) != (GUEST, HOST) {
            return Ok(());
        }
        let ports = Ports {
            host: header.dst_port,
            guest: header.src_port,
        };
        let known = self.tokens.get(&ports).copied();
        let Some(token) = known.filter(|_| header.kind == STREAM) else {
            match header.op {
                op::RST => {}
                op::REQUEST if header.kind == STREAM => self.requested(ports, header),
                _ => self.resets.push_back(ports),
            }
            return Ok(());
        };
        let Some(connection) = self.connections.get_mut(&token) else {
            return Ok(());
        };
        connection.credit(header);
        match header.op {
            op::RST if connection.abandon() => drop(self.tokens.remove(&ports)),
            op::RST => {
                self.forget(token);
                return Ok(());
            }
            op::RESPONSE => connection.response(),
            op::SHUTDOWN => connection.shutdown(header.flags),
            op::RW if header.len <= connection.promised() => {
                let mut left = header.len as usize;
                while left != 0 {
                    let count = left.min(self.piece.len());
                    let piece = &mut self.piece[..count];
                    reader
                        .read_exact(piece)
                        .map_err(|_| DriverFault::Request("a socket packet cut short"))?;
                    connection.data(piece);
                    left -= count;
                }
            }
            op::CREDIT_UPDATE => {}
            op::CREDIT_REQUEST => connection.owe_credit(),
            _ => connection.end(),
        }
        self.settle(token);
        Ok(())
    }

    /// The guest asks for a port of the host.
    fn requested(&mut self, ports: Ports, header: &Header) {
        if self.connections.len() < CONNECTIONS {
            if let Ok(stream) = self.host.connect(ports.host) {
                let mut connection = VsockConnection::accepted(ports, stream);
                connection.credit(header);
                return self.add(connection);
            }
        }
        self.resets.push_back(ports);
    }

    /// Takes the guest's packets, as long as it takes our refusals.
    fn transmit(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<Next, DriverFault> {
        drain(memory, queue, |chain: DescriptorChain<&GuestMemoryMmap>| {
            if self.resets.len() >= usize::from(QUEUE_SIZE) {
                return Ok(Step::Keep);
            }
            let mut reader = chain.reader(memory)?;
            let mut header = [0; SIZE];
            reader
                .read_exact(&mut header)
                .map_err(|_| DriverFault::Request("a socket packet without a whole header"))?;
            let header = Header::decode(&header);
            let bytes = reader.available_bytes().min(header.len as usize);
            self.tally.egress_packets.add(1);
            self.tally.egress_bytes.add(bytes as u64);
            self.transmitted(&header, &mut reader)?;
            Ok(Step::Used(0))
        })
    }

    /// Gives the guest its packets.
    fn receive(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<Next, DriverFault> {
        drain(memory, queue, |chain: DescriptorChain<&GuestMemoryMmap>| {
            let mut writer = chain.writer(memory)?;
            let room = writer
                .available_bytes()
                .checked_sub(SIZE)
                .filter(|&room| room != 0)
                .ok_or(DriverFault::Request("a socket buffer too small"))?;
            let Some((header, count)) = self.next_packet(room.min(PIECE)) else {
                return Ok(Step::Keep);
            };
            writer.write_all(&header.encode())?;
            writer.write_all(&self.piece[..count])?;
            self.tally.ingress_packets.add(1);
            self.tally.ingress_bytes.add(count as u64);
            Ok(Step::Used((SIZE + count) as u32))
        })
    }

    /// A packet for the guest, whose data is at the start of `piece`.
    fn next_packet(&mut self, room: usize) -> Option<(Header, usize)> {
        let header = |ports: Ports| Header {
            src_cid: HOST,
            dst_cid: GUEST,
            src_port: ports.host,
            dst_port: ports.guest,
            kind: STREAM,
            ..Header::default()
        };
        if let Some(ports) = self.resets.pop_front() {
            let op = op::RST;
            return Some((
                Header {
                    op,
                    ..header(ports)
                },
                0,
            ));
        }
        while let Some(token) = self.waiting.pop_front() {
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            let packet = connection.packet(&mut self.piece[..room]);
            let Some((op, flags, count)) = packet else {
                self.settle(token);
                continue;
            };
            let (buf_alloc, fwd_cnt) = connection.tell();
            let header = Header {
                op,
                flags,
                len: count as u32,
                buf_alloc,
                fwd_cnt,
                ..header(connection.ports)
            };
            match op {
                op::RST => self.forget(token),
                // To the end of the line.
                _ => self.settle(token),
            }
            return Some((header, count));
        }
        None
    }
}

impl<H: Host> Device for Vsock<H> {
    fn id(&self) -> u32 {
        VIRTIO_ID_VSOCK
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_count(&self) -> usize {
        3
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        copy_config(&GUEST.to_le_bytes(), offset, data);
    }

    fn tally(&self) -> Option<Tallied> {
        Some(Tallied {
            tally: Arc::clone(&self.tally) as _,
            name: String::new(),
        })
    }

    fn reset(&mut self) {
        for token in self.connections.keys().copied().collect::<Vec<_>>() {
            self.forget(token);
        }
        self.resets.clear();
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.host.source())
    }

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        let mut next = Next::default();
        for event in self.host.events() {
            match event {
                HostEvent::Asked(port, stream) => self.asked(port, stream),
                HostEvent::Ready(token) => {
                    if let Some(connection) = self.connections.get_mut(&token) {
                        connection.ready();
                    }
                    self.settle(token);
                }
            }
        }
        let refused = self.resets.len();
        if let Some(queue) = queues.get_mut(TRANSMIT).filter(|queue| queue.ready()) {
            next |= self.transmit(memory, queue)?;
        }
        let full = self.resets.len() >= usize::from(QUEUE_SIZE);
        if let Some(queue) = queues.get_mut(RECEIVE).filter(|queue| queue.ready()) {
            next |= self.receive(memory, queue)?;
        }
        // What was left in the queue because of refusals that have been taken since.
        next.more |= full && self.resets.len() < refused.max(usize::from(QUEUE_SIZE));
        Ok(next)
    }
}
