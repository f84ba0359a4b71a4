// SPDX-License-Identifier: MIT OR Apache-2.0

//! A request to a disk, its header read.

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_WRITE_ZEROES,
};

use super::DriverFault;
use super::buffers::Buffers;
use super::request::DriverRequest;
use super::throttle::Direction;

/// Bytes of a request's header: type, reserved, sector.
const HEADER: usize = 16;

/// A request of a driver's, its header read.
pub(super) struct Order<'m> {
    pub head: u16,
    pub kind: u32,
    pub sector: u64,
    /// What is behind the header.
    pub readable: Buffers<'m>,
    /// What is before the status.
    pub data: Buffers<'m>,
    pub status: Buffers<'m>,
}

impl<'m> Order<'m> {
    pub fn of(request: DriverRequest<'m>) -> Result<Self, DriverFault> {
        let DriverRequest {
            head,
            mut readable,
            writable: mut data,
        } = request;
        let mut header = [0; HEADER];
        readable
            .read(&mut header)
            .map_err(|_| DriverFault::Request("a block request without a whole header"))?;
        let status = data.take_last().ok_or(DriverFault::Request(
            "a block request without a status byte",
        ))?;
        let [kind, _, low, high] = words(&header);
        Ok(Order {
            head,
            kind,
            sector: u64::from(low) | u64::from(high) << 32,
            readable,
            data,
            status,
        })
    }

    pub fn direction(&self) -> Direction {
        match self.kind {
            VIRTIO_BLK_T_OUT
            | VIRTIO_BLK_T_DISCARD
            | VIRTIO_BLK_T_WRITE_ZEROES
            | VIRTIO_BLK_T_FLUSH => Direction::Write,
            _ => Direction::Read,
        }
    }
}

/// Four numbers in memory order.
pub(super) fn words(bytes: &[u8; 16]) -> [u32; 4] {
    std::array::from_fn(|word| {
        bytes[4 * word..4 * word + 4]
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u32::from(byte))
    })
}
