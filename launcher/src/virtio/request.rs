// SPDX-License-Identifier: MIT OR Apache-2.0

//! The requests of a queue: which buffers a driver offers.
//!
//! What is held to guest memory is a copy of a descriptor: a driver that changes it afterwards changes nothing.
//!
//! A request of 1 MiB has 258 descriptors, and looking at them is most of what the launcher does for it. So they are
//! read here, many at once, and not by virtio-queue, which looks for the memory of each anew: here that of the one
//! before is tried first.

use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, VolatileSlice,
};

use super::DriverFault;
use super::buffers::Buffers;
use crate::copy;

/// What a driver asks for.
pub(super) struct Request<'m> {
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
) -> Result<Option<Request<'m>>, DriverFault> {
    next_requests(memory, queue)?.next().transpose()
}

/// A request that was taken from a queue before, as it is now.
pub(super) fn request_at<'m>(
    memory: &'m GuestMemoryMmap,
    queue: &Queue,
    head: u16,
) -> Result<Request<'m>, DriverFault> {
    let table = (queue.desc_table(), queue.size());
    Request::new(memory, table, head, usize::from(queue.max_size()))
}

/// The next requests of a queue, as many as there are when this is called. One has no more descriptors than its queue
/// may have entries, an indirect one neither (2.7.5.3.1).
pub(super) fn next_requests<'m, 'q>(
    memory: &'m GuestMemoryMmap,
    queue: &'q mut Queue,
) -> Result<impl Iterator<Item = Result<Request<'m>, DriverFault>> + use<'m, 'q>, DriverFault> {
    let most = usize::from(queue.max_size());
    let table = (queue.desc_table(), queue.size());
    let chains = queue.iter(memory)?;
    Ok(chains.map(move |chain| Request::new(memory, table, chain.head_index(), most)))
}

/// Guest memory, and the region of it where the last bytes were.
struct Regions<'m> {
    memory: &'m GuestMemoryMmap,
    /// Where the region begins, and how long it is: at first, no address is in it.
    start: u64,
    length: u64,
    region: Option<VolatileSlice<'m>>,
}

impl<'m> Regions<'m> {
    fn new(memory: &'m GuestMemoryMmap) -> Self {
        Regions {
            memory,
            start: 0,
            length: 0,
            region: None,
        }
    }

    /// The bytes from an address on, at most `length`, as far as they are in one region.
    fn slice(&mut self, address: u64, length: usize) -> Option<VolatileSlice<'m>> {
        let mut offset = address.wrapping_sub(self.start);
        if offset >= self.length {
            let region = self.memory.find_region(GuestAddress(address))?;
            self.start = region.start_addr().0;
            self.length = region.len();
            self.region = region.as_volatile_slice().ok();
            offset = address.checked_sub(self.start)?;
        }
        let room = self.length.checked_sub(offset)? as usize;
        let region = self.region.as_ref()?;
        region.subslice(offset as usize, room.min(length)).ok()
    }
}

/// A descriptor (2.7.5).
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn has(&self, flag: u32) -> bool {
        u32::from(self.flags) & flag != 0
    }
}

/// Bytes of a descriptor.
const SIZE: usize = 16;
/// Descriptors of an indirect table that are read at once: drivers put those of a chain one behind the other.
const AT_ONCE: usize = 32;

/// A table of descriptors, and some that are already read.
struct Descriptors<'m> {
    regions: Regions<'m>,
    table: u64,
    size: u16,
    at_once: usize,
    first: u16,
    read: u16,
    bytes: [u8; SIZE * AT_ONCE],
}

impl<'m> Descriptors<'m> {
    /// The table at an address, with so many entries. Those of a queue's chain may be anywhere in it: each is read by
    /// itself.
    fn of(memory: &'m GuestMemoryMmap, (table, size): (u64, u16)) -> Self {
        Descriptors {
            regions: Regions::new(memory),
            table,
            size,
            at_once: 1,
            first: 0,
            read: 0,
            bytes: [0; SIZE * AT_ONCE],
        }
    }

    /// Goes on with an indirect table.
    fn go_to(&mut self, table: u64, size: u16) {
        (self.table, self.size) = (table, size);
        (self.at_once, self.read) = (AT_ONCE, 0);
    }

    /// Number `number` of the table, if it has so many and they are in memory.
    fn get(&mut self, number: u16) -> Option<Descriptor> {
        let left = self.size.checked_sub(number).filter(|&left| left != 0)?;
        let mut place = usize::from(number.wrapping_sub(self.first));
        if place >= usize::from(self.read) {
            self.fill(number, usize::from(left).min(self.at_once))?;
            place = 0;
        }
        let bytes = self.bytes.get(SIZE * place..)?.first_chunk::<SIZE>()?;
        let [a, b, c, d, e, f, g, h, l0, l1, l2, l3, f0, f1, n0, n1] = *bytes;
        Some(Descriptor {
            address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }

    /// Reads at most `count` descriptors from `number` on, and one at least.
    fn fill(&mut self, number: u16, count: usize) -> Option<()> {
        self.read = 0;
        let offset = SIZE as u64 * u64::from(number);
        let address = self.table.checked_add(offset)?;
        let piece = self.regions.slice(address, SIZE * count)?;
        let whole = copy::out_of(&piece, &mut self.bytes) / SIZE;
        self.first = number;
        self.read = u16::try_from(whole).ok().filter(|&whole| whole != 0)?;
        Some(())
    }
}

impl<'m> Request<'m> {
    /// The request whose first descriptor is `head` of a table at an address, with so many entries.
    fn new(
        memory: &'m GuestMemoryMmap,
        table: (u64, u16),
        head: u16,
        most: usize,
    ) -> Result<Self, DriverFault> {
        let mut request = Request {
            head,
            readable: Buffers::default(),
            writable: Buffers::default(),
        };
        let mut descriptors = Descriptors::of(memory, table);
        let mut regions = Regions::new(memory);
        let (mut number, mut count, mut is_indirect) = (head, 0, false);
        loop {
            let outside = DriverFault::Request("a descriptor outside of its table");
            let descriptor = descriptors.get(number).ok_or(outside)?;
            if descriptor.has(VRING_DESC_F_INDIRECT) {
                // 2.7.5.3.1: the last of a chain, of whole descriptors, and none in another.
                let entries = descriptor.length / 16;
                if is_indirect || descriptor.length % 16 != 0 || descriptor.has(VRING_DESC_F_NEXT) {
                    return Err(DriverFault::Request("an indirect table that cannot be one"));
                }
                (number, is_indirect) = (0, true);
                // What is longer ends by `most`.
                let entries = u16::try_from(entries).unwrap_or(u16::MAX);
                descriptors.go_to(descriptor.address, entries);
                continue;
            }
            if count == most {
                return Err(DriverFault::Request("a chain longer than its queue"));
            }
            count += 1;
            let buffers = match descriptor.has(VRING_DESC_F_WRITE) {
                true => &mut request.writable,
                false => &mut request.readable,
            };
            add(buffers, &mut regions, descriptor.address, descriptor.length)?;
            if !descriptor.has(VRING_DESC_F_NEXT) {
                return Ok(request);
            }
            number = descriptor.next;
        }
    }
}

/// Adds the bytes from an address on, which may be in several regions.
fn add<'m>(
    buffers: &mut Buffers<'m>,
    regions: &mut Regions<'m>,
    mut address: u64,
    length: u32,
) -> Result<(), DriverFault> {
    let mut rest = length as usize;
    while rest != 0 {
        let outside = DriverFault::Request("a buffer outside of memory");
        let Some(piece) = regions.slice(address, rest) else {
            return Err(outside);
        };
        rest -= piece.len();
        // Behind the last address there is no region.
        address = address.wrapping_add(piece.len() as u64);
        buffers.push(piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vm_memory::Bytes;

    use super::*;
    use crate::virtio::testing::memory;

    const TABLE: u64 = 0x100;
    const SIZE: u16 = 8;

    /// The request that begins with descriptor 0 of these (address, length, flags, next).
    fn request<'m>(
        memory: &'m GuestMemoryMmap,
        descriptors: &[(u64, u32, u32, u16)],
    ) -> Result<Request<'m>, DriverFault> {
        for (number, &(address, length, flags, next)) in (0u64..).zip(descriptors) {
            let at = |offset| GuestAddress(TABLE + 16 * number + offset);
            memory.write_obj(address, at(0)).unwrap();
            memory.write_obj(length, at(8)).unwrap();
            memory.write_obj(flags as u16, at(12)).unwrap();
            memory.write_obj(next, at(14)).unwrap();
        }
        Request::new(memory, (TABLE, SIZE), 0, SIZE.into())
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
            let mut found = Request::new(&memory, (TABLE, SIZE), 0, 70).unwrap();
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
        assert!(Request::new(&memory, (TABLE, SIZE), SIZE, SIZE.into()).is_err());
        assert!(Request::new(&memory, (u64::MAX - 15, SIZE), 1, SIZE.into()).is_err());
    }
}
