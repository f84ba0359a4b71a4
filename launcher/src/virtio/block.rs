// SPDX-License-Identifier: MIT OR Apache-2.0

//! A read-only disk (virtio 1.2, 5.2): the application image.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX,
    VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::{DescriptorChain, Queue, QueueT, Writer};
use vm_memory::GuestMemoryMmap;

use super::drain::next;
use super::mmio::QUEUE_SIZE;
use super::{Device, DriverFault, Progress, copy_config};

/// Bytes of a sector (5.2.4).
const SECTOR: u64 = 512;
/// Bytes of a request's header: type, reserved, sector.
const HEADER: usize = 16;
/// Bytes that are read from the file at a time.
const PIECE: usize = 64 << 10;
/// Buffers of a request: what a queue holds, without header and status.
const SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;
/// Bytes of a buffer at most.
const SEGMENT_MAX: u32 = 32 << 10;
/// Bytes of a request at most, which follows from the two. Without it, buffers that lie over each other
/// make a request of terabytes.
const REQUEST_MAX: usize = SEGMENTS as usize * SEGMENT_MAX as usize;
/// Bytes after which [`Block::process`] leaves the next request for later.
const TURN: usize = 1 << 20;

/// A disk with the contents of a file.
#[derive(Debug)]
pub struct Block {
    file: File,
    sectors: u64,
    serial: [u8; VIRTIO_BLK_ID_BYTES as usize],
    buffer: Box<[u8]>,
}

impl Block {
    /// A disk of the whole sectors of `file`. Of `serial`, the first 20 bytes count.
    ///
    /// # Errors
    /// When the length of the file cannot be found.
    pub fn new(mut file: File, serial: &str) -> io::Result<Self> {
        // Unlike the length in the metadata, this is right for a block device too.
        let sectors = file.seek(SeekFrom::End(0))? / SECTOR;
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        for (to, from) in id.iter_mut().zip(serial.bytes()) {
            *to = from;
        }
        Ok(Block {
            file,
            sectors,
            serial: id,
            buffer: vec![0; PIECE].into(),
        })
    }

    /// Carries out one request. Returns the bytes written to the guest.
    fn request(
        &mut self,
        memory: &GuestMemoryMmap,
        chain: DescriptorChain<&GuestMemoryMmap>,
    ) -> Result<u32, DriverFault> {
        let mut reader = chain.clone().reader(memory)?;
        let mut data = chain.writer(memory)?;
        let mut header = [0; HEADER];
        reader
            .read_exact(&mut header)
            .map_err(|_| DriverFault::Request("a block request without a whole header"))?;
        let room = data
            .available_bytes()
            .checked_sub(1)
            .ok_or(DriverFault::Request(
                "a block request without a status byte",
            ))?;
        let mut status = data.split_at(room).map_err(DriverFault::Queue)?;
        let word = |at: usize| {
            header[at..at + 4]
                .iter()
                .rev()
                .fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        let outcome = match word(0) as u32 {
            VIRTIO_BLK_T_IN => self.read(word(8) | word(12) << 32, &mut data)?,
            VIRTIO_BLK_T_GET_ID => {
                let count = data.available_bytes().min(self.serial.len());
                data.write_all(&self.serial[..count])?;
                VIRTIO_BLK_S_OK
            }
            // 5.2.6.2: a write to a read-only device fails with IOERR, and changes nothing.
            VIRTIO_BLK_T_OUT => VIRTIO_BLK_S_IOERR,
            _ => VIRTIO_BLK_S_UNSUPP,
        };
        status.write_all(&[outcome as u8])?;
        Ok(data.bytes_written() as u32 + 1)
    }

    /// Fills `data` from `sector` on; the status for the guest. More than [`REQUEST_MAX`] no driver may
    /// ask for.
    fn read(&mut self, sector: u64, data: &mut Writer<'_>) -> Result<u32, DriverFault> {
        let length = data.available_bytes() as u64;
        let fits = sector
            .checked_add(length / SECTOR)
            .is_some_and(|end| end <= self.sectors);
        if length % SECTOR != 0 || length > REQUEST_MAX as u64 || !fits {
            return Ok(VIRTIO_BLK_S_IOERR);
        }
        let mut offset = sector * SECTOR;
        while data.available_bytes() != 0 {
            let count = data.available_bytes().min(self.buffer.len());
            let piece = &mut self.buffer[..count];
            // The file may have become shorter, or its disk may fail.
            if self.file.read_exact_at(piece, offset).is_err() {
                return Ok(VIRTIO_BLK_S_IOERR);
            }
            data.write_all(piece)?;
            offset += count as u64;
        }
        Ok(VIRTIO_BLK_S_OK)
    }
}

impl Device for Block {
    fn id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_BLK_F_RO
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_SIZE_MAX
            | 1 << VIRTIO_BLK_F_SEG_MAX
    }

    fn queue_count(&self) -> usize {
        1
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // struct virtio_blk_config (5.2.4): capacity, size_max, seg_max, geometry, blk_size.
        let mut space = [0; 24];
        space[..8].copy_from_slice(&self.sectors.to_le_bytes());
        space[8..12].copy_from_slice(&SEGMENT_MAX.to_le_bytes());
        space[12..16].copy_from_slice(&SEGMENTS.to_le_bytes());
        space[20..24].copy_from_slice(&(SECTOR as u32).to_le_bytes());
        copy_config(&space, offset, data);
    }

    fn reset(&mut self) {}

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Progress, DriverFault> {
        let Some(queue) = queues.first_mut().filter(|queue| queue.ready()) else {
            return Ok(Progress::default());
        };
        let mut used = false;
        let mut more = true;
        let mut done = 0;
        while more && done < TURN {
            queue.disable_notification(memory)?;
            while done < TURN {
                let Some(chain) = next(memory, queue)? else {
                    break;
                };
                let head = chain.head_index();
                let written = self.request(memory, chain)?;
                queue.add_used(memory, head, written)?;
                used = true;
                // A request has its own cost, however little it is about.
                done += written as usize + PIECE / 16;
            }
            more = queue.enable_notification(memory)?;
        }
        Ok(Progress {
            notify: used && queue.needs_notification(memory)?,
            more,
            ..Progress::default()
        })
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
