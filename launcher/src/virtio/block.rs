// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk (virtio 1.2, 5.2): the application image, which is read-only, and what the user brings.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cki_session::DiskRates;
use parking_lot::Mutex;
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO,
    VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_WRITE_ZEROES, VIRTIO_BLK_ID_BYTES,
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_DISCARD,
    VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
    VIRTIO_BLK_T_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

use super::buffers::Buffers;
use super::limiter::Clock;
use super::order::{Order, words};
use super::request::{next_request, request_at};
use super::storage::Storage;
use super::tallies::OfDisk;
use super::throttle::{Direction, Throttle};
use super::{Device, DriverFault, Next, copy_config};
use crate::counts::Tallied;
use crate::large::Large;

/// Bytes of a sector (5.2.4).
const SECTOR: u64 = 512;
/// Bytes that are read or written at a time, where another disk is at work with the large buffer.
const PIECE: usize = 64 << 10;
/// Entries of the queue: a request of 1 MiB fits, where each page is a buffer.
const ENTRIES: u16 = 512;
/// Buffers of a request: what a queue holds, without header and status.
const SEGMENTS: u32 = ENTRIES as u32 - 2;
/// Bytes of a buffer at most.
const SEGMENT_MAX: u32 = 16 << 10;
/// Bytes of a request at most, which follows from the two. Without it, buffers that lie over each other
/// make a request of terabytes.
const REQUEST_MAX: usize = SEGMENTS as usize * SEGMENT_MAX as usize;
/// Bytes after which [`Block::process`] leaves the next request for later.
const TURN: usize = 1 << 20;

/// Bytes of one request to zero or discard at most.
const RANGE_MAX: u64 = 32 << 20;
/// Bytes of a range (`struct virtio_blk_discard_write_zeroes`): sector, count of sectors, flags.
const RANGE: usize = 16;
/// Flag of a range: the sectors may be unmapped.
const UNMAP: u32 = 1;

/// The disk.
pub struct Block {
    storage: Box<dyn Storage>,
    sectors: u64,
    serial: [u8; VIRTIO_BLK_ID_BYTES as usize],
    /// The driver flushes; without that, every write must be safe when it is done (5.2.6.2).
    flushes: bool,
    buffer: Box<[u8]>,
    large: Arc<Mutex<Large>>,
    throttle: Option<Box<Throttle>>,
    tally: Arc<OfDisk>,
}

/// What was done of a request.
struct Done {
    /// Bytes written to the guest.
    written: u32,
    /// What it is worth of a [`TURN`].
    share: usize,
    /// Bytes of the disk that it was about.
    bytes: u64,
}

impl Block {
    /// A disk of the whole sectors of `storage`. Of `serial`, the first 20 bytes count.
    #[must_use]
    pub fn new(storage: Box<dyn Storage>, serial: &str) -> Self {
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        for (to, from) in id.iter_mut().zip(serial.bytes()) {
            *to = from;
        }
        Block {
            sectors: storage.size() / SECTOR,
            storage,
            serial: id,
            flushes: false,
            buffer: vec![0; PIECE].into(),
            large: Arc::default(),
            throttle: None,
            tally: Arc::default(),
        }
    }

    /// The disk, no faster than that.
    #[must_use]
    pub fn limited(self, rates: DiskRates) -> Self {
        self.limited_by(rates, Clock::default())
    }

    fn limited_by(mut self, rates: DiskRates, clock: Clock) -> Self {
        self.throttle = (!rates.is_empty()).then(|| Box::new(Throttle::new(rates, clock)));
        self
    }

    /// The disk, with a large buffer that it shares with others.
    #[must_use]
    pub fn sharing(mut self, large: &Arc<Mutex<Large>>) -> Self {
        self.large = Arc::clone(large);
        self
    }

    /// Carries out one request.
    fn request(&mut self, order: Order<'_>) -> Result<Done, DriverFault> {
        let Order {
            kind,
            sector,
            mut readable,
            mut data,
            mut status,
            ..
        } = order;
        let room = data.left();
        let mut bytes = match kind {
            VIRTIO_BLK_T_IN => room as u64,
            VIRTIO_BLK_T_OUT => readable.left() as u64,
            _ => 0,
        };
        let mut moved = 0;
        let outcome = match kind {
            VIRTIO_BLK_T_IN => self.read(sector, &mut data)?,
            VIRTIO_BLK_T_GET_ID => {
                let count = data.left().min(self.serial.len());
                data.write(&self.serial[..count])?;
                VIRTIO_BLK_S_OK
            }
            // 5.2.6.2: a change of a read-only device fails with IOERR, and changes nothing.
            VIRTIO_BLK_T_OUT | VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES
                if self.storage.is_read_only() =>
            {
                VIRTIO_BLK_S_IOERR
            }
            VIRTIO_BLK_T_OUT => {
                moved = match self.flushes {
                    true => readable.left(),
                    false => TURN,
                };
                self.write(sector, &mut readable)?
            }
            // What these take is the medium's affair: a turn ends with one of them.
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES => {
                moved = TURN;
                let (status, zeroed) = self.range(kind, &mut readable)?;
                bytes = zeroed;
                status
            }
            VIRTIO_BLK_T_FLUSH if !self.storage.is_read_only() => {
                moved = TURN;
                of(self.storage.flush())
            }
            _ => VIRTIO_BLK_S_UNSUPP,
        };
        status.write(&[outcome as u8])?;
        self.count(kind, outcome, bytes);
        let written = (room - data.left()) as u32 + 1;
        Ok(Done {
            written,
            share: moved + written as usize,
            // What is longer is refused.
            bytes: bytes.min(RANGE_MAX),
        })
    }

    /// Counts a request that is done.
    fn count(&self, kind: u32, outcome: u32, bytes: u64) {
        let tally = &self.tally;
        let (requests, of) = match kind {
            VIRTIO_BLK_T_IN => (&tally.read_requests, Some(&tally.read_bytes)),
            VIRTIO_BLK_T_OUT | VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES => {
                (&tally.write_requests, Some(&tally.write_bytes))
            }
            VIRTIO_BLK_T_FLUSH => (&tally.flush_requests, None),
            _ => return,
        };
        requests.add(1);
        match (outcome, of) {
            (VIRTIO_BLK_S_OK, Some(of)) => of.add(bytes),
            (VIRTIO_BLK_S_OK, None) => {}
            _ => tally.failed_requests.add(1),
        }
    }

    /// Carries out the next request, if there is one and it need not wait.
    fn step(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<Option<Step>, DriverFault> {
        let Some(throttle) = &mut self.throttle else {
            let Some(request) = next_request(memory, queue)? else {
                return Ok(None);
            };
            let head = request.head;
            let done = self.request(Order::of(request)?)?;
            return Ok(Some(Step::Done(head, done.written, done.share)));
        };
        let waited = throttle.next();
        let request = match waited {
            Some(head) => request_at(memory, queue, head)?,
            None => match next_request(memory, queue)? {
                Some(request) => request,
                None => return Ok(None),
            },
        };
        let order = Order::of(request)?;
        let (direction, head, now) = (order.direction(), order.head, throttle.now());
        let is_new = waited.is_none();
        if !throttle.admit(direction, head, is_new, now, queue.size())? {
            let held = match direction {
                Direction::Read => &self.tally.read_held,
                Direction::Write => &self.tally.write_held,
            };
            held.add(is_new.into());
            return Ok(Some(Step::Waits));
        }
        let done = self.request(order)?;
        if let Some(throttle) = &mut self.throttle {
            throttle.take(direction, now, done.bytes);
        }
        Ok(Some(Step::Done(head, done.written, done.share)))
    }

    /// Whether `length` bytes from `sector` on are whole sectors of the disk, and not more than
    /// [`REQUEST_MAX`], which no driver may ask for.
    fn fits(&self, sector: u64, length: u64) -> bool {
        let end = sector.checked_add(length / SECTOR);
        length % SECTOR == 0
            && length <= REQUEST_MAX as u64
            && end.is_some_and(|end| end <= self.sectors)
    }

    /// Fills `data` from `sector` on; the status for the guest.
    fn read(&mut self, sector: u64, data: &mut Buffers<'_>) -> Result<u32, DriverFault> {
        if !self.fits(sector, data.left() as u64) {
            return Ok(VIRTIO_BLK_S_IOERR);
        }
        let mut large = large(&self.large, data.left());
        let buffer = large.as_mut().and_then(|large| large.bytes());
        let buffer = buffer.unwrap_or(&mut self.buffer);
        let mut offset = sector * SECTOR;
        while data.left() != 0 {
            let count = data.left().min(buffer.len());
            let piece = &mut buffer[..count];
            // The file may have become shorter, or its disk may fail.
            if self.storage.read(piece, offset).is_err() {
                return Ok(VIRTIO_BLK_S_IOERR);
            }
            data.write(piece)?;
            offset += count as u64;
        }
        Ok(VIRTIO_BLK_S_OK)
    }

    /// Writes what is left of `data` from `sector` on; the status for the guest.
    fn write(&mut self, sector: u64, data: &mut Buffers<'_>) -> Result<u32, DriverFault> {
        if !self.fits(sector, data.left() as u64) {
            return Ok(VIRTIO_BLK_S_IOERR);
        }
        let mut large = large(&self.large, data.left());
        let buffer = large.as_mut().and_then(|large| large.bytes());
        let buffer = buffer.unwrap_or(&mut self.buffer);
        let mut offset = sector * SECTOR;
        while data.left() != 0 {
            let count = data.left().min(buffer.len());
            let piece = &mut buffer[..count];
            data.read(piece)?;
            if self.storage.write(piece, offset).is_err() {
                return Ok(VIRTIO_BLK_S_IOERR);
            }
            offset += count as u64;
        }
        drop(large);
        Ok(self.changed())
    }

    /// Zeroes or discards a range; the status for the guest, and how many bytes are zeroes now.
    fn range(&mut self, kind: u32, data: &mut Buffers<'_>) -> Result<(u32, u64), DriverFault> {
        let mut range = [0; RANGE];
        if data.left() != RANGE {
            return Ok((VIRTIO_BLK_S_UNSUPP, 0));
        }
        data.read(&mut range)?;
        let [low, high, count, flags] = words(&range);
        let sector = u64::from(low) | u64::from(high) << 32;
        let length = u64::from(count) * SECTOR;
        let zeroes = kind == VIRTIO_BLK_T_WRITE_ZEROES;
        // 5.2.6.2: unknown flags, and UNMAP of a discard, are UNSUPP.
        if flags & !(if zeroes { UNMAP } else { 0 }) != 0 {
            return Ok((VIRTIO_BLK_S_UNSUPP, 0));
        }
        let end = sector.checked_add(u64::from(count));
        if length > RANGE_MAX || end.is_none_or(|end| end > self.sectors) {
            return Ok((VIRTIO_BLK_S_IOERR, 0));
        }
        if count == 0 {
            return Ok((VIRTIO_BLK_S_OK, 0));
        }
        let done = match zeroes {
            true => self
                .storage
                .zero(sector * SECTOR, length, flags & UNMAP != 0),
            false => self.storage.discard(sector * SECTOR, length),
        };
        let status = match of(done) {
            VIRTIO_BLK_S_OK => self.changed(),
            status => status,
        };
        // What is discarded, nobody writes.
        Ok((status, if zeroes { length } else { 0 }))
    }

    /// After a change: safe at once for a driver that does not flush.
    fn changed(&mut self) -> u32 {
        match self.flushes {
            true => VIRTIO_BLK_S_OK,
            false => of(self.storage.flush()),
        }
    }
}

/// What became of a request.
enum Step {
    /// Its head, the bytes written to the guest, and what it is worth of a [`TURN`].
    Done(u16, u32, usize),
    /// It waits until it does not exceed a limit.
    Waits,
}

/// The large buffer for so many bytes, if they are more than a piece, and nobody else uses it: a disk does not wait for
/// another one.
fn large(shared: &Mutex<Large>, count: usize) -> Option<parking_lot::MutexGuard<'_, Large>> {
    (count > PIECE).then(|| shared.try_lock()).flatten()
}

/// The status of what was done.
fn of(result: io::Result<()>) -> u32 {
    result.map_or(VIRTIO_BLK_S_IOERR, |()| VIRTIO_BLK_S_OK)
}

impl Device for Block {
    fn id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        let changes = match self.storage.is_read_only() {
            true => 1 << VIRTIO_BLK_F_RO,
            false => {
                1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES
            }
        };
        changes
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_SIZE_MAX
            | 1 << VIRTIO_BLK_F_SEG_MAX
    }

    fn queue_count(&self) -> usize {
        1
    }

    fn queue_size(&self) -> u16 {
        ENTRIES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // struct virtio_blk_config (5.2.4): capacity, size_max, seg_max, geometry, blk_size, topology,
        // writeback, num_queues; of a discard and of zeroes: most sectors, most ranges; their alignment,
        // and whether zeroes may unmap.
        let mut space = [0; 60];
        space[..8].copy_from_slice(&self.sectors.to_le_bytes());
        space[8..12].copy_from_slice(&SEGMENT_MAX.to_le_bytes());
        space[12..16].copy_from_slice(&SEGMENTS.to_le_bytes());
        space[20..24].copy_from_slice(&(SECTOR as u32).to_le_bytes());
        if !self.storage.is_read_only() {
            let sectors = ((RANGE_MAX / SECTOR) as u32).to_le_bytes();
            for (at, value) in [
                (36, sectors),
                (40, 1u32.to_le_bytes()),
                (44, 1u32.to_le_bytes()),
                (48, sectors),
                (52, 1u32.to_le_bytes()),
                (56, 1u32.to_le_bytes()),
            ] {
                space[at..at + 4].copy_from_slice(&value);
            }
        }
        copy_config(&space, offset, data);
    }

    fn tally(&self) -> Option<Tallied> {
        let serial = self.serial.split(|&byte| byte == 0).next();
        Some(Tallied {
            tally: Arc::clone(&self.tally) as _,
            name: String::from_utf8_lossy(serial.unwrap_or(&[])).into_owned(),
        })
    }

    fn negotiated(&mut self, features: u64) {
        self.flushes = features & 1 << VIRTIO_BLK_F_FLUSH != 0;
    }

    fn reset(&mut self) {
        self.flushes = false;
        if let Some(throttle) = &mut self.throttle {
            throttle.reset();
        }
    }

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        let Some(queue) = queues.first_mut().filter(|queue| queue.ready()) else {
            return Ok(Next::default());
        };
        let mut used = false;
        let mut more = true;
        let mut done = 0;
        while more && done < TURN {
            queue.disable_notification(memory)?;
            while done < TURN {
                let Some(step) = self.step(memory, queue)? else {
                    break;
                };
                if let Step::Done(head, written, share) = step {
                    queue.add_used(memory, head, written)?;
                    used = true;
                    done += share;
                }
                // A request has its own cost, however little it is about.
                done += PIECE / 16;
            }
            more = queue.enable_notification(memory)?;
        }
        let after = self.throttle.as_ref().and_then(|throttle| throttle.after());
        Ok(Next {
            notify: used && queue.needs_notification(memory)?,
            more: more || after == Some(Duration::ZERO),
            after,
            ..Next::default()
        })
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "block_large_tests.rs"]
mod large_tests;

#[cfg(test)]
#[path = "block_limit_tests.rs"]
mod limit_tests;
