// SPDX-License-Identifier: MIT OR Apache-2.0

//! virtio devices whose registers the guest reaches by hypercalls (virtio 1.2).
//!
//! [`mmio`] is the register file that all devices share, the others are devices. A
//! device sees queues and guest memory, nothing of `/dev/cki`; what a guest writes is never trusted:
//! a queue or a request that cannot be ends in DEVICE_NEEDS_RESET, as 2.1.2 of the standard has it.

pub mod block;
mod buffers;
pub mod console;
mod descriptors;
mod drain;
pub mod fs;
mod limiter;
pub mod link;
pub mod mmio;
pub mod net;
mod order;
mod request;
pub mod rng;
pub mod storage;
mod tallies;
#[cfg(test)]
pub(crate) mod testing;
mod throttle;
pub mod vsock;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use virtio_queue::Queue;
use vm_memory::GuestMemoryMmap;

use crate::counts::Tallied;

/// Entries of a queue at most, unless its device has larger ones.
pub const QUEUE_SIZE: u16 = 128;

/// The driver broke a rule of the queue or the device; the device stops until it is reset.
#[derive(Debug, thiserror::Error)]
pub enum DriverFault {
    /// Rings or descriptors.
    #[error("virtqueue: {0}")]
    Queue(#[from] virtio_queue::Error),
    /// Contents of a buffer.
    #[error("{0}")]
    Request(&'static str),
    /// A buffer that is not where Data frames are.
    #[error("buffer: {0}")]
    Buffer(#[from] std::io::Error),
}

/// A device behind [`mmio::Transport`].
pub trait Device: Send {
    /// Device type (virtio 1.2 section 5).
    fn id(&self) -> u32;
    /// Feature bits of its own, offered in addition to those of the transport.
    fn features(&self) -> u64;
    /// Number of queues.
    fn queue_count(&self) -> usize;
    /// Entries of a queue at most: a power of two.
    fn queue_size(&self) -> u16 {
        QUEUE_SIZE
    }
    /// Reads the configuration space; what lies beyond it reads 0.
    fn read_config(&self, offset: u64, data: &mut [u8]);
    /// Hears which of the offered features the driver took, those of the transport among them.
    fn negotiated(&mut self, _features: u64) {}
    /// Forgets all that a driver told it.
    fn reset(&mut self);
    /// What it counts, if it does.
    fn tally(&self) -> Option<Tallied> {
        None
    }
    /// A descriptor that is readable when the device has something to do on the host's side; the same one
    /// for as long as the device lives. A device that waits for several things, or not always for the
    /// same, gives an epoll descriptor.
    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Does what can be done now, but no more than a bounded piece of it: the caller holds the device's
    /// lock, which others need to see signals and deadlines. `queue` has been notified, or with
    /// `None` something happened on the host's side, or there was more to do.
    ///
    /// # Errors
    /// [`DriverFault`]; the device is not asked again before it is reset.
    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        queue: Option<usize>,
    ) -> Result<Next, DriverFault>;
}

/// What is next, once a device has done what it could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Buffers were used that the driver wants to hear of.
    pub notify: bool,
    /// There is more that can be done now: ask again, after a look at what else there is.
    pub more: bool,
    /// There will be more to do after this time, if nothing happens before.
    pub after: Option<Duration>,
    /// What the device waits for on the host's side is not what it was.
    pub waits_changed: bool,
}

impl std::ops::BitOrAssign for Next {
    fn bitor_assign(&mut self, other: Self) {
        self.notify |= other.notify;
        self.more |= other.more;
        self.after = self.after.into_iter().chain(other.after).min();
        self.waits_changed |= other.waits_changed;
    }
}

/// Copies what lies at `offset` of a configuration space; the rest of `data` becomes 0.
fn copy_config(space: &[u8], offset: u64, data: &mut [u8]) {
    data.fill(0);
    let from = usize::try_from(offset)
        .ok()
        .and_then(|offset| space.get(offset..))
        .unwrap_or(&[]);
    let count = from.len().min(data.len());
    data[..count].copy_from_slice(&from[..count]);
}
