// SPDX-License-Identifier: MIT OR Apache-2.0

//! A network card (virtio 1.2, 5.1) with one pair of queues and no control queue.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cki_session::NetworkRates;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC, VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS, VIRTIO_NET_S_LINK_UP,
};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::buffers::Buffers;
use super::descriptors::Regions;
use super::limiter::{Clock, Limiter};
use super::link::{FRAME_MAX, HEADER, Header, Link};
use super::request::{DriverRequest, Requests, next_request};
use super::tallies::OfNetwork;
use super::{Device, DriverFault, Next, copy_config};
use crate::copy;
use crate::counts::Tallied;

/// Where num_buffers is in the header.
const NUM_BUFFERS: usize = 10;
/// Bytes after which [`Net::process`] leaves the next frame for later.
const TURN: usize = 1 << 20;
/// What a frame costs besides its bytes.
const FRAME_COST: usize = 4096;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// A network card.
#[derive(Debug)]
pub struct Net<L> {
    link: L,
    mac: [u8; 6],
    /// Readable when the link is what we wait for.
    epoll: Epoll,
    waits: EpollFlags,
    packet: Box<[u8]>,
    heads: Vec<(u16, u32)>,
    merges: bool,
    limits: Option<Box<Limits>>,
    tally: Arc<OfNetwork>,
}

/// How fast a card may be.
#[derive(Debug)]
struct Limits {
    clock: Clock,
    ingress: Limiter,
    egress: Limiter,
    /// The first frame waits for it, and is counted.
    ingress_holds: bool,
    egress_holds: bool,
}

impl<L: Link> Net<L> {
    /// A card with this address, connected to `link`.
    ///
    /// # Errors
    /// When no epoll descriptor can be made.
    pub fn new(link: L, mac: [u8; 6]) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Net {
            link,
            mac,
            epoll,
            waits: EpollFlags::empty(),
            packet: vec![0; HEADER + FRAME_MAX].into(),
            heads: Vec::new(),
            merges: false,
            limits: None,
            tally: Arc::default(),
        })
    }

    /// The card, no faster than that.
    #[must_use]
    pub fn limited(self, rates: NetworkRates) -> Self {
        self.limited_by(rates, Clock::default())
    }

    fn limited_by(mut self, rates: NetworkRates, clock: Clock) -> Self {
        let limits = || Limits {
            clock,
            ingress: Limiter::new(rates.ingress()),
            egress: Limiter::new(rates.egress()),
            ingress_holds: false,
            egress_holds: false,
        };
        self.limits = (!rates.is_empty()).then(|| Box::new(limits()));
        self
    }

    /// How long until the next frame may be sent; nothing if it may be sent now.
    fn egress_wait(&self) -> Option<Duration> {
        let limits = self.limits.as_ref()?;
        limits.egress.wait(limits.clock.now())
    }

    /// As [`Net::egress_wait`], of a frame to be received.
    fn ingress_wait(&self) -> Option<Duration> {
        let limits = self.limits.as_ref()?;
        limits.ingress.wait(limits.clock.now())
    }

    /// Sends what the driver has put into its queue.
    fn transmit(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<Next, DriverFault> {
        let (mut used, mut more, mut done) = (false, true, 0);
        let mut after = self.egress_wait();
        if let (None, Some(limits)) = (after, &mut self.limits) {
            limits.egress_holds = false;
        }
        while more && done < TURN && self.link.has_room() && after.is_none() {
            queue.disable_notification(memory)?;
            while done < TURN && self.link.has_room() && after.is_none() {
                let Some(request) = next_request(memory, queue)? else {
                    break;
                };
                let head = request.head;
                done += FRAME_COST + self.send(request)?;
                queue.add_used(memory, head, 0)?;
                used = true;
                after = self.egress_wait();
            }
            more = queue.enable_notification(memory)?;
        }
        if let Some(limits) = &mut self.limits {
            let next = queue.avail_idx(memory, Ordering::Acquire)?.0;
            let holds = after.is_some() && next != queue.next_avail();
            let held = std::mem::replace(&mut limits.egress_holds, holds);
            self.tally.egress_held.add((holds && !held).into());
        }
        let blocked = self.link.flush() || !self.link.has_room();
        Ok(Next {
            notify: used && queue.needs_notification(memory)?,
            more: more && !blocked && after.is_none(),
            after,
            ..Next::default()
        })
    }

    /// Sends one frame; its length.
    fn send(&mut self, mut request: DriverRequest<'_>) -> Result<usize, DriverFault> {
        let length = request.readable.left();
        if length > self.packet.len() {
            return Err(DriverFault::Request("a frame that is too long"));
        }
        let packet = &mut self.packet[..length];
        request.readable.read(packet)?;
        let Some((header, frame)) = packet.split_first_chunk::<HEADER>() else {
            return Err(DriverFault::Request("a frame without a whole header"));
        };
        let mut header = *header;
        // 5.1.6.2: a driver sets it to 0; it means something the other way only.
        header[NUM_BUFFERS..].fill(0);
        if !self.link.offloads() && header != [0; HEADER] {
            return Err(DriverFault::Request(
                "a frame that relies on what was not offered",
            ));
        }
        self.link.send(&header, frame);
        self.tally.egress_packets.add(1);
        self.tally.egress_bytes.add(frame.len() as u64);
        if let Some(limits) = &mut self.limits {
            limits.egress.take(limits.clock.now(), frame.len() as u64);
        }
        Ok(frame.len())
    }

    /// Gives the driver what has come; whether that ended for want of buffers, or of a rate.
    fn receive(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<(Next, bool), DriverFault> {
        let (mut used, mut merged, mut starved, mut done) = (false, false, false, 0);
        let mut after = None;
        queue.disable_notification(memory)?;
        while done < TURN {
            after = self.ingress_wait();
            if let (Some(_), Some(limits)) = (after, &mut self.limits) {
                limits.ingress_holds = true;
                // The link is not looked at until then: it may be readable all the time.
                starved = true;
                break;
            }
            let held = self.limits.as_mut().map(|limits| &mut limits.ingress_holds);
            let held = held.is_some_and(std::mem::take);
            let Some((header, frame)) = self.link.frame() else {
                break;
            };
            self.tally.ingress_held.add(held.into());
            let bytes = frame.len();
            done += FRAME_COST + HEADER + bytes;
            if bytes > FRAME_MAX {
                self.link.consume();
                continue;
            }
            match give(memory, queue, self.merges, &mut self.heads, header, frame)? {
                Given::Whole => {
                    self.link.consume();
                    self.tally.ingress_packets.add(1);
                    self.tally.ingress_bytes.add(bytes as u64);
                    if let Some(limits) = &mut self.limits {
                        limits.ingress.take(limits.clock.now(), bytes as u64);
                    }
                    used = true;
                    merged |= self.heads.len() > 1;
                }
                Given::Never => self.link.consume(),
                Given::Later if ask_for_more(memory, queue)? => {}
                Given::Later => {
                    starved = true;
                    break;
                }
            }
        }
        let next = Next {
            // The queue does not know of the first buffers of a packet (`use_together`).
            notify: used && (queue.needs_notification(memory)? || merged),
            more: done >= TURN && !starved,
            after,
            ..Next::default()
        };
        Ok((next, starved))
    }

    /// Waits for these events of the link. It is not looked at without any: its end would be an event for ever.
    fn wait_for(&mut self, waits: EpollFlags) {
        let waits = match self.link.is_over() {
            true => EpollFlags::empty(),
            false => waits,
        };
        if waits == self.waits {
            return;
        }
        let mut event = EpollEvent::new(waits, 0);
        let done = match (self.waits.is_empty(), waits.is_empty()) {
            (true, _) => self.epoll.add(&self.link, event),
            (false, true) => self.epoll.delete(&self.link),
            (false, false) => self.epoll.modify(&self.link, &mut event),
        };
        // Nothing but memory could be missing; then the old events stand.
        if done.is_ok() {
            self.waits = waits;
        }
    }
}

/// What became of a packet for the driver.
enum Given {
    Whole,
    /// Not enough buffers yet.
    Later,
    /// All buffers that the queue can hold are not enough.
    Never,
}

/// Puts a frame and its header into as many buffers as they take: `heads` then has each, and what is in it. Where the
/// driver does not merge buffers, they take one.
fn give(
    memory: &GuestMemoryMmap,
    queue: &mut Queue,
    merges: bool,
    heads: &mut Vec<(u16, u32)>,
    mut header: Header,
    frame: &[u8],
) -> Result<Given, DriverFault> {
    let length = HEADER + frame.len();
    // Linux gives pages.
    let mut buffers = Buffers::of(length.div_ceil(4096));
    heads.clear();
    let mut requests = Requests::of(memory, queue)?;
    while buffers.left() < length && (merges || heads.is_empty()) {
        let before = buffers.left();
        let Some(head) = requests.next_writable(&mut buffers) else {
            break;
        };
        let room = u32::try_from(buffers.left() - before);
        heads.push((head?, room.unwrap_or(u32::MAX)));
    }
    if buffers.left() < length {
        if !merges && !heads.is_empty() {
            // The buffer that such a driver gives is as large as a frame can be (5.1.6.3.1).
            return Err(DriverFault::Request(
                "a buffer that is too small for a frame",
            ));
        }
        let all = heads.len() == usize::from(queue.size());
        for _ in heads.iter() {
            queue.go_to_previous_position();
        }
        return Ok(if all { Given::Never } else { Given::Later });
    }
    let count = u16::try_from(heads.len()).unwrap_or(u16::MAX);
    header[NUM_BUFFERS..].copy_from_slice(&count.to_le_bytes());
    // Straight from where the link has them: what is copied twice costs twice.
    buffers.write(&header)?;
    buffers.write(frame)?;
    let mut rest = length as u32;
    for (_, room) in heads.iter_mut() {
        *room = rest.min(*room);
        rest -= *room;
    }
    use_together(memory, queue, heads)?;
    Ok(Given::Whole)
}

/// Has the driver notify when it adds a buffer to those that it has made available; whether it did meanwhile.
fn ask_for_more(memory: &GuestMemoryMmap, queue: &mut Queue) -> Result<bool, DriverFault> {
    // With event indices, it notifies when it passes the next buffer that we would take: the first new one.
    let next = queue.next_avail();
    let end = queue.avail_idx(memory, Ordering::Acquire)?;
    queue.set_next_avail(end.0);
    let more = queue.enable_notification(memory);
    queue.set_next_avail(next);
    Ok(more?)
}

/// Writes bytes to an address on, wherever its regions end.
fn write(regions: &mut Regions<'_>, mut address: u64, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        let count = copy::into(bytes, &regions.slice(address, bytes.len())?);
        bytes = &bytes[count..];
        address = address.wrapping_add(count as u64);
    }
    Some(())
}

/// Bytes of an element of the used ring: head and length (2.7.8).
const ELEMENT: usize = 8;

/// Marks buffers of one packet as used. The driver sees all of them or none (5.1.6.4).
fn use_together(
    memory: &GuestMemoryMmap,
    queue: &mut Queue,
    heads: &[(u16, u32)],
) -> Result<(), DriverFault> {
    let Some(((last, last_length), others)) = heads.split_last() else {
        return Ok(());
    };
    let first = queue.next_used();
    let place = first % queue.size();
    let elements: Vec<u8> = others
        .iter()
        .flat_map(|&(head, length)| (u64::from(head) | u64::from(length) << 32).to_le_bytes())
        .collect();
    let to_end = ELEMENT * usize::from(queue.size() - place);
    let (before, behind) = elements.split_at(elements.len().min(to_end));
    let mut ring = Regions::new(memory);
    for (place, elements) in [(place, before), (0, behind)] {
        // They are behind the ring's flags and index (2.7.8).
        let address = queue
            .used_ring()
            .checked_add(4 + ELEMENT as u64 * u64::from(place));
        let written = address.and_then(|address| write(&mut ring, address, elements));
        written.ok_or(DriverFault::Request("a used ring outside of memory"))?;
    }
    queue.set_next_used(first.wrapping_add(others.len() as u16));
    // This one moves the ring's index, over all of them.
    queue.add_used(memory, *last, *last_length)?;
    Ok(())
}

impl<L: Link> Device for Net<L> {
    fn id(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn features(&self) -> u64 {
        let mut features = 1 << VIRTIO_NET_F_MAC
            | 1 << VIRTIO_NET_F_MTU
            | 1 << VIRTIO_NET_F_STATUS
            | 1 << VIRTIO_NET_F_MRG_RXBUF;
        if self.link.offloads() {
            features |= 1 << VIRTIO_NET_F_CSUM
                | 1 << VIRTIO_NET_F_GUEST_CSUM
                | 1 << VIRTIO_NET_F_HOST_TSO4
                | 1 << VIRTIO_NET_F_HOST_TSO6
                | 1 << VIRTIO_NET_F_GUEST_TSO4
                | 1 << VIRTIO_NET_F_GUEST_TSO6;
        }
        features
    }

    fn queue_count(&self) -> usize {
        2
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // struct virtio_net_config (5.1.4): mac, status, max_virtqueue_pairs, mtu.
        let mut space = [0; 12];
        space[..6].copy_from_slice(&self.mac);
        space[6..8].copy_from_slice(&(VIRTIO_NET_S_LINK_UP as u16).to_le_bytes());
        space[8..10].copy_from_slice(&1u16.to_le_bytes());
        space[10..12].copy_from_slice(&self.link.mtu().to_le_bytes());
        copy_config(&space, offset, data);
    }

    fn tally(&self) -> Option<Tallied> {
        Some(Tallied {
            tally: Arc::clone(&self.tally) as _,
            name: String::new(),
        })
    }

    fn reset(&mut self) {
        self.merges = false;
        self.wait_for(EpollFlags::empty());
    }

    fn negotiated(&mut self, features: u64) {
        self.merges = features & 1 << VIRTIO_NET_F_MRG_RXBUF != 0;
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.0.as_fd())
    }

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        let mut next = Next::default();
        let mut waits = EpollFlags::empty();
        if let Some(queue) = queues.get_mut(TRANSMIT).filter(|queue| queue.ready()) {
            next |= self.transmit(memory, queue)?;
            if self.link.flush() {
                waits |= EpollFlags::EPOLLOUT;
            }
        }
        if let Some(queue) = queues.get_mut(RECEIVE).filter(|queue| queue.ready()) {
            let (received, starved) = self.receive(memory, queue)?;
            next |= received;
            if !starved {
                waits |= EpollFlags::EPOLLIN;
            }
        }
        self.wait_for(waits);
        Ok(next)
    }
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
