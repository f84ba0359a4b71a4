// SPDX-License-Identifier: MIT OR Apache-2.0

//! A file system device (virtio 1.2, 5.11): the guest's FUSE requests go to whoever serves a volume, and the
//! replies come back, in any order.
//!
//! Neither side is trusted. A request is copied out of the guest's buffers once, with the length that its
//! header gives; a reply is copied into the buffers that its request brought for it, and ends the volume
//! when it does not fit. What is asked of a volume that has ended fails with EIO.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use cki_volume::message::{
    MESSAGE_MAX, REPLY_HEADER, REQUEST_HEADER, failure, is_answered, length, number,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_FS;
use virtio_queue::{DescriptorChain, Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::drain::{Step, drain};
use super::tallies::OfVolume;
use super::{Device, DriverFault, Next, copy_config};
use crate::counts::Tallied;

/// Bytes of the tag by which the guest mounts the device (5.11.4).
const TAG: usize = 36;
/// Queues: requests with priority, and one of others (5.11.2).
const QUEUES: usize = 2;
/// Bytes of replies after which the rest waits for the next turn.
const TURN: usize = 1 << 20;
/// Replies that a driver may give up by resets, at most.
const ORPHANS_MAX: usize = 1024;

/// Whoever serves the volume has gone, or says what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkEnded;

/// The way to whoever serves a volume. No call waits.
pub trait Link: Send {
    /// Readable when [`Link::receive`] or [`Link::send`] may do what it could not.
    fn source(&self) -> BorrowedFd<'_>;
    /// Takes a whole request, or none of it for now: `false`.
    ///
    /// # Errors
    /// [`LinkEnded`], from then on for ever.
    fn send(&mut self, request: &[u8]) -> Result<bool, LinkEnded>;
    /// Puts the next whole reply in the place of `reply`, if there is one now.
    ///
    /// # Errors
    /// [`LinkEnded`], from then on for ever.
    fn receive(&mut self, reply: &mut Vec<u8>) -> Result<bool, LinkEnded>;
    /// Ends it from our side.
    fn end(&mut self);
}

/// A request that is to be answered.
#[derive(Debug)]
struct Asked {
    queue: usize,
    head: u16,
    /// Where the reply goes: addresses and lengths.
    room: Vec<(GuestAddress, u32)>,
}

/// The device.
#[derive(Debug)]
pub struct Fs<L> {
    tag: [u8; TAG],
    link: L,
    asked: HashMap<u64, Asked>,
    /// Numbers of requests that were forgotten by a reset before they were answered.
    orphans: HashSet<u64>,
    ended: bool,
    request: Vec<u8>,
    reply: Vec<u8>,
    tally: Arc<OfVolume>,
}

impl<L: Link> Fs<L> {
    /// A device that the guest mounts by `tag`, of which the first 36 bytes count.
    pub fn new(tag: &str, link: L) -> Self {
        let mut bytes = [0; TAG];
        for (to, from) in bytes.iter_mut().zip(tag.bytes()) {
            *to = from;
        }
        Fs {
            tag: bytes,
            link,
            asked: HashMap::new(),
            orphans: HashSet::new(),
            ended: false,
            request: Vec::with_capacity(MESSAGE_MAX),
            reply: Vec::with_capacity(MESSAGE_MAX),
            tally: Arc::default(),
        }
    }

    /// Ends the volume: nothing more is sent or taken.
    fn end(&mut self) {
        self.ended = true;
        self.orphans = HashSet::new();
        self.link.end();
    }

    /// Whether a request that is not answered yet came in this buffer.
    fn is_taken(&self, queue: usize, head: u16) -> bool {
        let mut asked = self.asked.values();
        asked.any(|asked| (asked.queue, asked.head) == (queue, head))
    }

    fn send(&mut self) -> Result<bool, LinkEnded> {
        if self.ended {
            return Err(LinkEnded);
        }
        let sent = self.link.send(&self.request);
        self.ended = sent.is_err();
        if sent == Ok(true) {
            self.tally.requests.add(1);
            self.tally.request_bytes.add(self.request.len() as u64);
        }
        sent
    }

    /// Takes a request out of its buffers and passes it on.
    fn ask(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: usize,
        chain: DescriptorChain<&GuestMemoryMmap>,
    ) -> Result<Step, DriverFault> {
        let mut reader = chain.clone().reader(memory)?;
        let bytes = reader.available_bytes();
        if !(REQUEST_HEADER..=MESSAGE_MAX).contains(&bytes) {
            return Err(DriverFault::Request("a FUSE request of impossible length"));
        }
        self.request.resize(bytes, 0);
        reader.read_exact(&mut self.request)?;
        if length(&self.request, REQUEST_HEADER) != Some(bytes) {
            return Err(DriverFault::Request("a FUSE request of another length"));
        }
        let number = number(&self.request);
        if !is_answered(&self.request) {
            return Ok(match self.send() {
                Ok(false) => Step::Keep,
                // Whoever has ended has forgotten it.
                Ok(true) | Err(LinkEnded) => Step::Used(0),
            });
        }
        let mut writer = chain.clone().writer(memory)?;
        if writer.available_bytes() < REPLY_HEADER {
            return Err(DriverFault::Request(
                "a FUSE request without room for a reply",
            ));
        }
        if self.asked.contains_key(&number) || self.orphans.contains(&number) {
            return Err(DriverFault::Request("two FUSE requests of one number"));
        }
        // So no more are kept than the queues have buffers, however long a reply takes.
        let head = chain.head_index();
        if self.is_taken(queue, head) {
            return Err(DriverFault::Request("a buffer that the device still has"));
        }
        match self.send() {
            Ok(false) => Ok(Step::Keep),
            Ok(true) => {
                let asked = Asked {
                    queue,
                    head,
                    room: chain
                        .writable()
                        .map(|part| (part.addr(), part.len()))
                        .collect(),
                };
                self.asked.insert(number, asked);
                Ok(Step::Taken)
            }
            Err(LinkEnded) => {
                writer.write_all(&failure(number, libc::EIO))?;
                Ok(Step::Used(REPLY_HEADER as u32))
            }
        }
    }

    /// Puts the reply into the buffers of its request.
    fn answer(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        used: &mut [bool; QUEUES],
    ) -> Result<(), DriverFault> {
        let number = number(&self.reply);
        let Some(asked) = self.asked.remove(&number) else {
            // To nothing that was asked: it is no file server.
            if !self.orphans.remove(&number) {
                self.end();
            }
            return Ok(());
        };
        let room: u64 = asked
            .room
            .iter()
            .map(|&(_, length)| u64::from(length))
            .sum();
        if self.reply.len() as u64 > room {
            self.end();
            return give(memory, queues, used, &asked, &failure(number, libc::EIO));
        }
        self.tally.replies.add(1);
        self.tally.reply_bytes.add(self.reply.len() as u64);
        give(memory, queues, used, &asked, &self.reply)
    }

    /// Answers what nobody else will.
    fn fail_all(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        used: &mut [bool; QUEUES],
    ) -> Result<(), DriverFault> {
        for (number, asked) in std::mem::take(&mut self.asked) {
            give(memory, queues, used, &asked, &failure(number, libc::EIO))?;
        }
        Ok(())
    }
}

/// Writes a reply, for which there is room, and hands the buffers back.
fn give(
    memory: &GuestMemoryMmap,
    queues: &mut [Queue],
    used: &mut [bool; QUEUES],
    asked: &Asked,
    reply: &[u8],
) -> Result<(), DriverFault> {
    let mut rest = reply;
    for &(address, length) in &asked.room {
        let (part, after) = rest.split_at(rest.len().min(length as usize));
        memory
            .write_slice(part, address)
            .map_err(|_| DriverFault::Request("a reply's buffer that is not in memory"))?;
        rest = after;
    }
    queues[asked.queue].add_used(memory, asked.head, reply.len() as u32)?;
    used[asked.queue] = true;
    Ok(())
}

impl<L: Link> Device for Fs<L> {
    fn id(&self) -> u32 {
        VIRTIO_ID_FS
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_count(&self) -> usize {
        QUEUES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // struct virtio_fs_config (5.11.4): tag, number of queues without priority.
        let mut space = [0; TAG + 4];
        space[..TAG].copy_from_slice(&self.tag);
        space[TAG] = (QUEUES - 1) as u8;
        copy_config(&space, offset, data);
    }

    fn tally(&self) -> Option<Tallied> {
        let tag = self.tag.split(|&byte| byte == 0).next();
        Some(Tallied {
            tally: Arc::clone(&self.tally) as _,
            name: String::from_utf8_lossy(tag.unwrap_or(&[])).into_owned(),
        })
    }

    fn reset(&mut self) {
        let numbers = self.asked.drain().map(|(number, _)| number);
        self.orphans.extend(numbers);
        if self.orphans.len() > ORPHANS_MAX {
            self.end();
        }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.link.source())
    }

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        let mut used = [false; QUEUES];
        let mut next = Next::default();
        let mut moved = 0;
        while !self.ended {
            match self.link.receive(&mut self.reply) {
                Ok(true) if moved < TURN => {
                    moved += self.reply.len();
                    self.answer(memory, queues, &mut used)?;
                }
                Ok(true) => {
                    self.answer(memory, queues, &mut used)?;
                    next.more = true;
                    break;
                }
                Ok(false) => break,
                Err(LinkEnded) => self.ended = true,
            }
        }
        for (at, queue) in queues.iter_mut().enumerate() {
            if queue.ready() {
                next |= drain(memory, queue, |chain| self.ask(memory, at, chain))?;
            }
        }
        if self.ended {
            self.fail_all(memory, queues, &mut used)?;
        }
        for (queue, used) in queues.iter_mut().zip(used) {
            next.notify |= used && queue.needs_notification(memory)?;
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "fs_tests.rs"]
mod tests;
