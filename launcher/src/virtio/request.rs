// SPDX-License-Identifier: MIT OR Apache-2.0

//! The requests of a queue: which buffers a driver offers.
//!
//! Each descriptor is read once, and what it says is held to guest memory then: a driver that changes it afterwards
//! changes nothing.
//!
//! A request of 1 MiB has 258 descriptors, and looking at them is most of what the launcher does for it. So they are
//! read here, and not by virtio-queue, which looks for the memory of each anew: here that of the one before is tried
//! first.

use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, VolatileSlice,
};

use super::DriverFault;
use super::buffers::Buffers;

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
    start: u64,
    last: Option<VolatileSlice<'m>>,
}

impl<'m> Regions<'m> {
    fn new(memory: &'m GuestMemoryMmap) -> Self {
        Regions {
            memory,
            start: 0,
            last: None,
        }
    }

    /// The bytes from an address on, at most `length`, as far as they are in one region.
    fn slice(&mut self, address: u64, length: usize) -> Option<VolatileSlice<'m>> {
        let found = |start: u64, region: &VolatileSlice<'m>| {
            let offset = usize::try_from(address.checked_sub(start)?).ok()?;
            let room = region.len().checked_sub(offset).filter(|&room| room != 0)?;
            region.subslice(offset, room.min(length)).ok()
        };
        let last = self.last.as_ref();
        last.and_then(|region| found(self.start, region))
            .or_else(|| {
                let region = self.memory.find_region(GuestAddress(address))?;
                self.start = region.start_addr().0;
                self.last = region.as_volatile_slice().ok();
                found(self.start, self.last.as_ref()?)
            })
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
    /// Number `number` of the table at `table`.
    fn read(regions: &mut Regions<'_>, table: u64, number: u16) -> Option<Self> {
        const SIZE: usize = 16;
        let address = table.checked_add(SIZE as u64 * u64::from(number))?;
        let mut bytes = [0; SIZE];
        let piece = regions.slice(address, SIZE)?;
        if piece.copy_to(&mut bytes) != SIZE {
            return None;
        }
        let [a, b, c, d, e, f, g, h, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
        Some(Descriptor {
            address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }

    fn has(&self, flag: u32) -> bool {
        u32::from(self.flags) & flag != 0
    }
}

impl<'m> Request<'m> {
    /// The request whose first descriptor is `head` of a table at an address, with so many entries.
    fn new(
        memory: &'m GuestMemoryMmap,
        (mut table, mut size): (u64, u16),
        head: u16,
        most: usize,
    ) -> Result<Self, DriverFault> {
        let mut request = Request {
            head,
            readable: Buffers::default(),
            writable: Buffers::default(),
        };
        let (mut tables, mut regions) = (Regions::new(memory), Regions::new(memory));
        let (mut number, mut count, mut is_indirect) = (head, 0, false);
        loop {
            let outside = DriverFault::Request("a descriptor outside of its table");
            let found = Descriptor::read(&mut tables, table, number).filter(|_| number < size);
            let descriptor = found.ok_or(outside)?;
            if descriptor.has(VRING_DESC_F_INDIRECT) {
                // 2.7.5.3.1: the last of a chain, of whole descriptors, and none in another.
                let entries = descriptor.length / 16;
                if is_indirect || descriptor.length % 16 != 0 || descriptor.has(VRING_DESC_F_NEXT) {
                    return Err(DriverFault::Request("an indirect table that cannot be one"));
                }
                (table, number, is_indirect) = (descriptor.address, 0, true);
                // What is longer ends by `most`.
                size = u16::try_from(entries).unwrap_or(u16::MAX);
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
