// SPDX-License-Identifier: MIT OR Apache-2.0

//! Places in guest memory, and tables of descriptors in it, found without looking for each anew.

use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, VolatileMemory as _,
    VolatileSlice,
};

use crate::copy;

/// Guest memory, and the region of it where the last bytes were.
pub(super) struct Regions<'m> {
    memory: &'m GuestMemoryMmap,
    /// Where the region begins, and how long it is: at first, no address is in it.
    start: u64,
    length: u64,
    region: Option<VolatileSlice<'m>>,
}

impl<'m> Regions<'m> {
    pub fn new(memory: &'m GuestMemoryMmap) -> Self {
        Regions {
            memory,
            start: 0,
            length: 0,
            region: None,
        }
    }

    /// The bytes from an address on, at most `length`, as far as they are in one region.
    pub fn slice(&mut self, address: u64, length: usize) -> Option<VolatileSlice<'m>> {
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
pub(super) struct Descriptor {
    pub address: u64,
    pub length: u32,
    flags: u16,
    pub next: u16,
}

impl Descriptor {
    /// Whether it has a flag (`VRING_DESC_F_*`).
    pub fn has(&self, flag: u32) -> bool {
        u32::from(self.flags) & flag != 0
    }
}

/// Bytes of a descriptor.
const SIZE: usize = 16;
/// Descriptors of an indirect table that are read at once: drivers put those of a chain one behind the other.
const AT_ONCE: usize = 32;

/// A table of descriptors, and some that are already read.
pub(super) struct Descriptors<'m> {
    regions: Regions<'m>,
    /// Of a queue: all of it, if it is in one region.
    whole: Option<VolatileSlice<'m>>,
    table: u64,
    size: u16,
    at_once: usize,
    first: u16,
    read: u16,
    bytes: [u8; SIZE * AT_ONCE],
}

impl<'m> Descriptors<'m> {
    /// A queue's table at an address, with so many entries.
    pub fn of_queue(memory: &'m GuestMemoryMmap, (table, size): (u64, u16)) -> Self {
        let mut regions = Regions::new(memory);
        let bytes = SIZE * usize::from(size);
        let whole = regions.slice(table, bytes);
        Descriptors {
            regions,
            whole: whole.filter(|whole| whole.len() == bytes),
            table,
            size,
            at_once: 1,
            first: 0,
            read: 0,
            bytes: [0; SIZE * AT_ONCE],
        }
    }

    /// Goes on with a queue's table. Those of a chain may be anywhere in it: each is read by itself. What was read
    /// before is forgotten.
    pub fn queue(&mut self, (table, size): (u64, u16)) {
        (self.table, self.size) = (table, size);
        (self.at_once, self.read) = (1, 0);
    }

    /// Goes on with an indirect table.
    pub fn indirect(&mut self, table: u64, size: u16) {
        (self.table, self.size) = (table, size);
        (self.at_once, self.read) = (AT_ONCE, 0);
    }

    /// Number `number` of the table, if it has so many and they are in memory.
    pub fn get(&mut self, number: u16) -> Option<Descriptor> {
        let left = self.size.checked_sub(number).filter(|&left| left != 0)?;
        let [address, rest] = match &self.whole {
            Some(whole) if self.at_once == 1 => {
                let place = whole.get_ref::<[u64; 2]>(SIZE * usize::from(number)).ok()?;
                place.load().map(u64::from_le)
            }
            _ => self.one_of_many(number, left.into())?,
        };
        Some(Descriptor {
            address,
            length: rest as u32,
            flags: (rest >> 32) as u16,
            next: (rest >> 48) as u16,
        })
    }

    /// Number `number`, behind which there are `left` with it, as two words.
    fn one_of_many(&mut self, number: u16, left: usize) -> Option<[u64; 2]> {
        let mut place = usize::from(number.wrapping_sub(self.first));
        if place >= usize::from(self.read) {
            self.fill(number, left.min(self.at_once))?;
            place = 0;
        }
        let bytes = self.bytes.get(SIZE * place..)?.first_chunk::<SIZE>()?;
        let both = u128::from_le_bytes(*bytes);
        Some([both as u64, (both >> 64) as u64])
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
