// SPDX-License-Identifier: MIT OR Apache-2.0

//! The requests of a queue: which buffers a driver offers.
//!
//! What is held to guest memory is a copy of a descriptor: a driver that changes it afterwards changes nothing.
//!
//! A request of 1 MiB has 258 descriptors, and looking at them is most of what the launcher does for it. So they are
//! read here, many at once, and not by virtio-queue, which looks for the memory of each anew: here that of the one
//! before is tried first.

use std::sync::atomic::Ordering;

use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestMemoryMmap, VolatileSlice};

use super::DriverFault;
use super::buffers::Buffers;
use super::descriptors::{Descriptors, Regions};
use crate::copy;

/// What a driver asks for.
pub(super) struct DriverRequest<'m> {
    /// Its first descriptor, by which it is given back.
    pub head: u16,
    /// What the device reads.
    pub readable: Buffers<'m>,
    /// What the device writes.
    pub writable: Buffers<'m>,
}

/// The next request of a queue.
pub(super) fn next_request<'m>(
    memory: &'m GuestMemoryMmap,
    queue: &mut Queue,
) -> Result<Option<DriverRequest<'m>>, DriverFault> {
    Requests::of(memory, queue)?.next().transpose()
}

/// A request that was taken from a queue before, as it is now.
pub(super) fn request_at<'m>(
    memory: &'m GuestMemoryMmap,
    queue: &Queue,
    head: u16,
) -> Result<DriverRequest<'m>, DriverFault> {
    Chains::of(memory, queue).request(head)
}

/// The next requests of a queue, as many as there are when this is made.
pub(super) struct Requests<'m, 'q> {
    queue: &'q mut Queue,
    /// The number behind the last one.
    end: u16,
    ring: Regions<'m>,
    /// Entries of the ring that are already read: the first one's number, how many, and what they say.
    first: u16,
    read: u16,
    heads: [u8; ENTRY * HEADS],
    chains: Chains<'m>,
}

/// Bytes of an entry of the ring.
const ENTRY: usize = 2;
/// Entries of the ring that are read at once: a frame of any length takes some 17.
const HEADS: usize = 32;

impl<'m, 'q> Requests<'m, 'q> {
    /// Those of this queue.
    ///
    /// # Errors
    /// When its ring is not in memory, or has more entries than it can have.
    pub fn of(memory: &'m GuestMemoryMmap, queue: &'q mut Queue) -> Result<Self, DriverFault> {
        if !queue.ready() {
            return Err(virtio_queue::Error::QueueNotReady.into());
        }
        // The entries in front of the index are written before it (2.7.13.3).
        let end = queue.avail_idx(memory, Ordering::Acquire)?.0;
        if end.wrapping_sub(queue.next_avail()) > queue.size() {
            return Err(virtio_queue::Error::InvalidAvailRingIndex.into());
        }
        let chains = Chains::of(memory, queue);
        Ok(Requests {
            queue,
            end,
            ring: Regions::new(memory),
            first: 0,
            read: 0,
            heads: [0; ENTRY * HEADS],
            chains,
        })
    }

    /// The next request's head; what the device writes of it is then behind what `buffers` has. What it reads of it is
    /// passed over.
    pub fn next_writable(&mut self, buffers: &mut Buffers<'m>) -> Option<Result<u16, DriverFault>> {
        let head = self.next_head()?;
        Some(head.and_then(|head| self.chains.writable(head, buffers).map(|()| head)))
    }

    /// The next request's head, which is taken from the queue.
    fn next_head(&mut self) -> Option<Result<u16, DriverFault>> {
        let number = self.queue.next_avail();
        if number == self.end {
            return None;
        }
        let Some(head) = self.head(number) else {
            // There is nothing behind that.
            self.end = number;
            return Some(Err(DriverFault::Request("a ring outside of memory")));
        };
        self.queue.set_next_avail(number.wrapping_add(1));
        Some(Ok(head))
    }

    /// The head of the chain that the ring has under this number, one of those up to the end.
    fn head(&mut self, number: u16) -> Option<u16> {
        let mut place = usize::from(number.wrapping_sub(self.first));
        if place >= usize::from(self.read) {
            self.fill(number)?;
            place = 0;
        }
        let head = self.heads.get(ENTRY * place..)?.first_chunk()?;
        Some(u16::from_le_bytes(*head))
    }

    /// Reads entries of the ring (2.7.6), as many as lie together: they are behind its flags and index.
    fn fill(&mut self, number: u16) -> Option<()> {
        let size = self.queue.size();
        let place = number.checked_rem(size)?;
        let count = self.end.wrapping_sub(number).min(size - place);
        let offset = 4 + ENTRY as u64 * u64::from(place);
        let address = self.queue.avail_ring().checked_add(offset)?;
        let entries = self.ring.slice(address, ENTRY * usize::from(count))?;
        let whole = copy::out_of(&entries, &mut self.heads) / ENTRY;
        self.first = number;
        self.read = u16::try_from(whole).ok().filter(|&whole| whole != 0)?;
        Some(())
    }
}

impl<'m> Iterator for Requests<'m, '_> {
    type Item = Result<DriverRequest<'m>, DriverFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.next_head()?;
        Some(head.and_then(|head| self.chains.request(head)))
    }
}

/// Finds what the chains of descriptors of a queue mean.
struct Chains<'m> {
    /// Where the queue's table is, and how many entries it has.
    table: (u64, u16),
    /// Descriptors of a chain at most: no more than the queue may have entries, an indirect one neither (2.7.5.3.1).
    most: usize,
    descriptors: Descriptors<'m>,
    data: Regions<'m>,
}

impl<'m> Chains<'m> {
    fn of(memory: &'m GuestMemoryMmap, queue: &Queue) -> Self {
        let table = (queue.desc_table(), queue.size());
        Self::new(memory, table, queue.max_size().into())
    }

    fn new(memory: &'m GuestMemoryMmap, table: (u64, u16), most: usize) -> Self {
        Chains {
            table,
            most,
            descriptors: Descriptors::of_queue(memory, table),
            data: Regions::new(memory),
        }
    }

    /// The request whose first descriptor is `head`.
    fn request(&mut self, head: u16) -> Result<DriverRequest<'m>, DriverFault> {
        let (mut readable, mut writable) = (Buffers::default(), Buffers::default());
        self.walk(head, |is_writable, piece| match is_writable {
            true => writable.push(piece),
            false => readable.push(piece),
        })?;
        Ok(DriverRequest {
            head,
            readable,
            writable,
        })
    }

    /// Adds what the device writes of the request whose first descriptor is `head`.
    fn writable(&mut self, head: u16, buffers: &mut Buffers<'m>) -> Result<(), DriverFault> {
        self.walk(head, |is_writable, piece| match is_writable {
            true => buffers.push(piece),
            false => Ok(()),
        })
    }

    /// Hands each piece of memory of the chain that begins with `head` to `each`, and whether the device writes it.
    fn walk(
        &mut self,
        head: u16,
        mut each: impl FnMut(bool, VolatileSlice<'m>) -> Result<(), DriverFault>,
    ) -> Result<(), DriverFault> {
        self.descriptors.queue(self.table);
        let (mut number, mut count, mut is_indirect) = (head, 0, false);
        loop {
            let outside = DriverFault::Request("a descriptor outside of its table");
            let descriptor = self.descriptors.get(number).ok_or(outside)?;
            if descriptor.has(VRING_DESC_F_INDIRECT) {
                // 2.7.5.3.1: the last of a chain, of whole descriptors, and none in another.
                let entries = descriptor.length / 16;
                if is_indirect || descriptor.length % 16 != 0 || descriptor.has(VRING_DESC_F_NEXT) {
                    return Err(DriverFault::Request("an indirect table that cannot be one"));
                }
                (number, is_indirect) = (0, true);
                // What is longer ends by `most`.
                let entries = u16::try_from(entries).unwrap_or(u16::MAX);
                self.descriptors.indirect(descriptor.address, entries);
                continue;
            }
            if count == self.most {
                return Err(DriverFault::Request("a chain longer than its queue"));
            }
            count += 1;
            let is_writable = descriptor.has(VRING_DESC_F_WRITE);
            let (mut address, mut rest) = (descriptor.address, descriptor.length as usize);
            // It may be in several regions.
            while rest != 0 {
                let outside = DriverFault::Request("a buffer outside of memory");
                let piece = self.data.slice(address, rest).ok_or(outside)?;
                rest -= piece.len();
                // Behind the last address there is no region.
                address = address.wrapping_add(piece.len() as u64);
                each(is_writable, piece)?;
            }
            if !descriptor.has(VRING_DESC_F_NEXT) {
                return Ok(());
            }
            number = descriptor.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use virtio_queue::QueueOwnedT as _;
    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::virtio::testing::memory;

    const TABLE: u64 = 0x100;
    const SIZE: u16 = 8;

    /// The request that begins with descriptor 0 of these (address, length, flags, next).
    fn request<'m>(
        memory: &'m GuestMemoryMmap,
        descriptors: &[(u64, u32, u32, u16)],
    ) -> Result<DriverRequest<'m>, DriverFault> {
        for (number, &(address, length, flags, next)) in (0u64..).zip(descriptors) {
            let at = |offset| GuestAddress(TABLE + 16 * number + offset);
            memory.write_obj(address, at(0)).unwrap();
            memory.write_obj(length, at(8)).unwrap();
            memory.write_obj(flags as u16, at(12)).unwrap();
            memory.write_obj(next, at(14)).unwrap();
        }
        Chains::new(memory, (TABLE, SIZE), SIZE.into()).request(0)
    }

    #[test]
    fn buffers_are_found_in_regions_side_by_side_and_not_in_the_holes_between_them() {
        let regions = [(0, 0x1000), (0x1000, 0x1000), (0x3000, 0x1000)];
        let regions = regions.map(|(start, size)| (GuestAddress(start), size));
        let memory = GuestMemoryMmap::from_ranges(&regions).unwrap();
        memory.write_slice(b"abcdef", GuestAddress(0xffd)).unwrap();
        memory.write_slice(b"ghi", GuestAddress(0x3ffd)).unwrap();
        let (next, write) = (VRING_DESC_F_NEXT, VRING_DESC_F_WRITE);
        let chain = [
            (0xffd, 6, next, 2),
            (0x1ffe, 2, write, 0),
            (0x3ffd, 3, next, 3),
            // Nothing, wherever it is.
            (u64::MAX, 0, next, 1),
        ];
        let mut found = request(&memory, &chain).unwrap();
        let (readable, writable) = (&mut found.readable, &mut found.writable);
        assert_eq!((readable.left(), writable.left()), (9, 2));
        let mut bytes = [0; 9];
        readable.read(&mut bytes).unwrap();
        assert_eq!(&bytes, b"abcdefghi");
        writable.write(b"jk").unwrap();
        let end: [u8; 2] = memory.read_obj(GuestAddress(0x1ffe)).unwrap();
        assert_eq!(&end, b"jk");
        for (address, length) in [
            (0x1fff, 2),
            (0x2000, 1),
            (0x2fff, 2),
            (0x3fff, 2),
            (0x4000, 1),
            (u64::MAX, 1),
            (0x3000, u32::MAX),
        ] {
            let outside = request(&memory, &[(address, length, write, 0)]);
            assert!(outside.is_err(), "{address:#x} {length}");
        }
    }

    /// A queue with its rings at these addresses.
    fn queue(size: u16, available: u64, next: u16) -> Queue {
        let mut queue = Queue::new(size).unwrap();
        queue.set_size(size);
        queue.set_desc_table_address(Some(TABLE as u32), Some(0));
        queue.set_avail_ring_address(Some(available as u32), Some(0));
        queue.set_used_ring_address(Some(0x8000), Some(0));
        queue.set_ready(true);
        queue.set_next_avail(next);
        queue
    }

    proptest! {
        /// Anywhere in the ring, over its end, where an entry and the next one are in different regions, and as often
        /// as some are taken and the rest given back.
        #[test]
        fn requests_are_those_of_the_ring_in_its_order(
            heads in proptest::collection::vec(0..64u16, 64),
            (next, count) in (any::<u16>(), 0..=64u16),
            (before, taken) in (0..70u64, 0..70usize),
        ) {
            let regions = [(0, 0x2000), (0x2000, 0x2000)];
            let regions = regions.map(|(start, size)| (GuestAddress(start), size));
            let memory = GuestMemoryMmap::from_ranges(&regions).unwrap();
            let available = 0x2000 - 2 * before;
            for number in 0..64u16 {
                let descriptor = [0x1000 + u64::from(number), 1];
                memory.write_obj(descriptor, GuestAddress(TABLE + 16 * u64::from(number))).unwrap();
            }
            for number in 0..count {
                let place = next.wrapping_add(number) % 64;
                let at = GuestAddress(available + 4 + 2 * u64::from(place));
                memory.write_obj(heads[usize::from(number)], at).unwrap();
            }
            let end = next.wrapping_add(count);
            memory.write_obj(end, GuestAddress(available + 2)).unwrap();
            let mut queue = queue(64, available, next);
            let given: Vec<u16> = heads[..count.into()].to_vec();
            let some: Result<Vec<_>, _> = Requests::of(&memory, &mut queue).unwrap().take(taken).collect();
            let some: Vec<u16> = some.unwrap().iter().map(|it| it.head).collect();
            prop_assert_eq!(&some, &given[..taken.min(given.len())]);
            if let Some(last) = some.last() {
                queue.go_to_previous_position();
                let again = next_request(&memory, &mut queue).unwrap().unwrap();
                prop_assert_eq!(again.head, *last);
            }
            let rest: Result<Vec<_>, _> = Requests::of(&memory, &mut queue).unwrap().collect();
            let rest: Vec<u16> = rest.unwrap().iter().map(|it| it.head).collect();
            prop_assert_eq!(&rest, &given[some.len()..]);
            prop_assert_eq!(queue.next_avail(), end);
        }
    }

    #[test]
    fn rings_that_cannot_be_are_refused() {
        let memory = memory();
        let available = 0x1000;
        let index = GuestAddress(available + 2);
        // More than the ring has entries; or none, of a queue that is not set up.
        memory.write_obj(9u16, index).unwrap();
        assert!(Requests::of(&memory, &mut queue(8, available, 0)).is_err());
        let mut cold = queue(8, available, 1);
        cold.set_ready(false);
        assert!(Requests::of(&memory, &mut cold).is_err());
        // A head outside of the table, and a ring whose entries are outside of memory.
        memory
            .write_obj(8u16, GuestAddress(available + 4 + 2))
            .unwrap();
        let found = next_request(&memory, &mut queue(8, available, 1));
        assert!(found.is_err());
        let end = crate::virtio::testing::MEMORY;
        memory.write_obj(1u16, GuestAddress(end - 2)).unwrap();
        assert!(next_request(&memory, &mut queue(8, end - 4, 0)).is_err());
        assert!(next_request(&memory, &mut queue(8, end - 2, 0)).is_err());
    }

    proptest! {
        /// An indirect table in two regions, each descriptor of which has one byte: in any order, and as many of them
        /// as there are.
        #[test]
        fn a_chain_leads_through_its_table_as_it_likes(
            order in Just((1..70u16).collect::<Vec<_>>()).prop_shuffle(),
            count in 1..70usize,
        ) {
            let regions = [(0, 0x1000), (0x1000, 0x2000)];
            let regions = regions.map(|(start, size)| (GuestAddress(start), size));
            let memory = GuestMemoryMmap::from_ranges(&regions).unwrap();
            let (table, data) = (0x1000 - 16 * 35, 0x2000);
            let chain: Vec<u16> = std::iter::once(0).chain(order).take(count).collect();
            for (position, &number) in chain.iter().enumerate() {
                let at = |offset| GuestAddress(table + 16 * u64::from(number) + offset);
                let next = chain.get(position + 1);
                let flags = next.map_or(0, |_| VRING_DESC_F_NEXT as u16);
                memory.write_obj(data + u64::from(number), at(0)).unwrap();
                memory.write_obj(1u32, at(8)).unwrap();
                memory.write_obj(flags, at(12)).unwrap();
                memory.write_obj(next.copied().unwrap_or(0), at(14)).unwrap();
                memory.write_obj(number as u8, GuestAddress(data + u64::from(number))).unwrap();
            }
            for (offset, value) in [(0, table), (8, (16 * 70) | (u64::from(VRING_DESC_F_INDIRECT) << 32))] {
                memory.write_obj(value, GuestAddress(TABLE + offset)).unwrap();
            }
            let mut found = Chains::new(&memory, (TABLE, SIZE), 70).request(0).unwrap();
            prop_assert_eq!(found.readable.left(), count);
            let mut bytes = vec![0; count];
            found.readable.read(&mut bytes).unwrap();
            prop_assert_eq!(bytes, chain.iter().map(|&number| number as u8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn tables_that_cannot_be_are_refused() {
        let memory = memory();
        let (next, indirect) = (VRING_DESC_F_NEXT, VRING_DESC_F_INDIRECT);
        // A buffer, a table in a table, and a buffer that leads out of its table.
        let inner = 0x1000;
        for (number, flags, to) in [(0, 0, 0), (1, indirect, 0), (2, next, 100)] {
            let at = GuestAddress(inner + 16 * number);
            memory.write_obj([0x2000u64, 16], at).unwrap();
            let flags = [flags as u16, to];
            memory.write_obj(flags, GuestAddress(at.0 + 12)).unwrap();
        }
        let found = |descriptors: &[_]| request(&memory, descriptors).map(|it| it.readable.left());
        assert_eq!(found(&[(inner, 16, indirect, 0)]).unwrap(), 16);
        // It may be the end of a chain.
        let behind = [(0x2000, 5, next, 1), (inner, 16, indirect, 0)];
        assert_eq!(found(&behind).unwrap(), 21);
        for refused in [
            (inner, 24, indirect, 0),
            (inner, 0, indirect, 0),
            (inner, 16, indirect | next, 0),
            (inner + 16, 16, indirect, 0),
            (inner + 32, 32, indirect, 0),
            (1 << 40, 16, indirect, 0),
            (u64::MAX - 7, 16, indirect, 0),
            (0x2000, 5, next, SIZE),
            (0x2000, 5, next, 0),
        ] {
            assert!(found(&[refused]).is_err(), "{refused:?}");
        }
        let outside = |table, head| Chains::new(&memory, (table, SIZE), SIZE.into()).request(head);
        assert!(outside(TABLE, SIZE).is_err());
        assert!(outside(u64::MAX - 15, 1).is_err());
    }
}
