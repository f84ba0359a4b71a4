// SPDX-License-Identifier: MIT OR Apache-2.0

//! A driver for tests: sets a device up through its registers as Linux does, and gives it buffers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio as reg;
use virtio_bindings::virtio_ring::{
    VIRTIO_RING_F_EVENT_IDX, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
};
use virtio_queue::Queue;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::mmio::{Due, NoRegister, Transport};
use super::{Device, DriverFault, Next};

/// Bytes of guest memory, from address 0 on.
pub const MEMORY: u64 = 16 << 20;
const RINGS: u64 = 0x10_0000;
const RING_STRIDE: u64 = 0x8000;
const AVAILABLE: u64 = 0x4000;
const USED: u64 = 0x5000;

/// Flags of a descriptor.
pub const NEXT: u16 = VRING_DESC_F_NEXT as u16;
pub const WRITE: u16 = VRING_DESC_F_WRITE as u16;

pub fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap()
}

/// What the driver keeps of a queue.
#[derive(Default, Clone)]
struct Ring {
    available: u16,
    used: u16,
    descriptors: u16,
    size: u16,
}

pub struct Driver<D> {
    pub transport: Transport<D>,
    pub memory: GuestMemoryMmap,
    rings: Vec<Ring>,
    interrupt: bool,
    more: bool,
    after: Option<Duration>,
}

impl<D: Device> Driver<D> {
    /// A device in its state after reset.
    pub fn cold(device: D) -> Self {
        let count = device.queue_count();
        Driver {
            transport: Transport::new(device).unwrap(),
            memory: memory(),
            rings: vec![Ring::default(); count],
            interrupt: false,
            more: false,
            after: None,
        }
    }

    /// A device after the driver's set-up, with all features but event indices.
    pub fn new(device: D) -> Self {
        let mut driver = Driver::cold(device);
        driver.set_up();
        driver
    }

    pub fn set_up(&mut self) {
        self.negotiate(!(1 << VIRTIO_RING_F_EVENT_IDX));
        for queue in 0..self.rings.len() {
            self.set_up_queue(queue);
            assert_eq!(self.read(reg::VIRTIO_MMIO_QUEUE_READY), 1);
        }
        self.add_status(VIRTIO_CONFIG_S_DRIVER_OK);
    }

    /// As another driver does that finds the device as it was left, with rings of its own.
    pub fn start_anew(&mut self) {
        for queue in 0..self.rings.len() {
            self.rings[queue] = Ring::default();
            self.set_available_index(queue, 0);
            let used = GuestAddress(ring(queue) + USED + 2);
            self.memory.write_obj(0u16, used).unwrap();
        }
        self.set_up();
    }

    pub fn negotiate(&mut self, mask: u64) {
        self.write(reg::VIRTIO_MMIO_STATUS, 0);
        self.add_status(VIRTIO_CONFIG_S_ACKNOWLEDGE);
        self.add_status(VIRTIO_CONFIG_S_DRIVER);
        for half in 0..2 {
            self.write(reg::VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
            let offered = self.read(reg::VIRTIO_MMIO_DEVICE_FEATURES);
            self.write(reg::VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
            let wanted = offered & (mask >> (32 * half)) as u32;
            self.write(reg::VIRTIO_MMIO_DRIVER_FEATURES, wanted);
        }
        self.add_status(VIRTIO_CONFIG_S_FEATURES_OK);
    }

    pub fn set_up_queue(&mut self, queue: usize) {
        self.write(reg::VIRTIO_MMIO_QUEUE_SEL, queue as u32);
        let size = self.read(reg::VIRTIO_MMIO_QUEUE_NUM_MAX);
        self.write(reg::VIRTIO_MMIO_QUEUE_NUM, size);
        self.rings[queue].size = u16::try_from(size).unwrap();
        let base = ring(queue);
        for (register, address) in [
            (reg::VIRTIO_MMIO_QUEUE_DESC_LOW, base),
            (reg::VIRTIO_MMIO_QUEUE_AVAIL_LOW, base + AVAILABLE),
            (reg::VIRTIO_MMIO_QUEUE_USED_LOW, base + USED),
        ] {
            self.write(register, address as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        self.write(reg::VIRTIO_MMIO_QUEUE_READY, 1);
    }

    /// What the device has counted, but for what is 0.
    pub fn counted(&self) -> Vec<(String, u64)> {
        let counts = self.transport.device.tally().unwrap().read(&[]).counts;
        counts
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .collect()
    }

    pub fn read(&self, register: u32) -> u32 {
        self.transport.read(register.into(), 4).unwrap() as u32
    }

    pub fn write(&mut self, register: u32, value: u32) {
        self.try_write(register.into(), 4, value.into()).unwrap();
    }

    /// Any write, and what follows from it.
    pub fn try_write(&mut self, offset: u64, size: u64, value: u64) -> Result<(), NoRegister> {
        let due = self.transport.write(&self.memory, offset, size, value)?;
        if due.is_some() {
            self.process(due);
        }
        Ok(())
    }

    /// Something happened on the host's side, or there was more to do.
    pub fn poll(&mut self) {
        self.process(None);
    }

    fn process(&mut self, due: Option<Due>) {
        let next = self.transport.process(&self.memory, due);
        self.interrupt |= next.notify;
        self.more |= next.more;
        self.after = next.after;
    }

    /// When the device asked to be called again, as of the last time that it was.
    pub fn after(&self) -> Option<Duration> {
        self.after
    }

    /// Whether the device interrupted since this was asked last.
    pub fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.interrupt)
    }

    /// Whether the device stopped with work left since this was asked last.
    pub fn take_more(&mut self) -> bool {
        std::mem::take(&mut self.more)
    }

    pub fn add_status(&mut self, bit: u32) {
        let status = self.read(reg::VIRTIO_MMIO_STATUS);
        self.write(reg::VIRTIO_MMIO_STATUS, status | bit);
    }

    /// Makes a chain of (address, length, flags without NEXT) available, without telling.
    pub fn offer(&mut self, queue: usize, chain: &[(u64, u32, u16)]) -> u16 {
        let (first, size) = (self.rings[queue].descriptors, self.rings[queue].size);
        for (position, &(address, length, flags)) in chain.iter().enumerate() {
            let at = (first + position as u16) % size;
            let more = position + 1 < chain.len();
            self.put_descriptor(
                queue,
                at,
                address,
                length,
                if more { flags | NEXT } else { flags },
                (at + 1) % size,
            );
        }
        self.rings[queue].descriptors = (first + chain.len() as u16) % size;
        self.make_available(queue, first % size);
        first % size
    }

    pub fn put_descriptor(
        &self,
        queue: usize,
        at: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    ) {
        let base = ring(queue) + 16 * u64::from(at);
        self.memory.write_obj(address, GuestAddress(base)).unwrap();
        self.memory
            .write_obj(length, GuestAddress(base + 8))
            .unwrap();
        self.memory
            .write_obj(flags, GuestAddress(base + 12))
            .unwrap();
        self.memory
            .write_obj(next, GuestAddress(base + 14))
            .unwrap();
    }

    pub fn make_available(&mut self, queue: usize, head: u16) {
        let index = self.rings[queue].available;
        let base = ring(queue) + AVAILABLE;
        let slot = base + 4 + 2 * u64::from(index % self.rings[queue].size);
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.rings[queue].available = index.wrapping_add(1);
        self.set_available_index(queue, index.wrapping_add(1));
    }

    pub fn set_available_index(&self, queue: usize, index: u16) {
        let at = ring(queue) + AVAILABLE + 2;
        self.memory.write_obj(index, GuestAddress(at)).unwrap();
    }

    pub fn notify(&mut self, queue: usize) {
        self.write(reg::VIRTIO_MMIO_QUEUE_NOTIFY, queue as u32);
    }

    /// The used buffers that the driver has not seen: head and length.
    pub fn used(&mut self, queue: usize) -> Vec<(u32, u32)> {
        let base = ring(queue) + USED;
        let index: u16 = self.memory.read_obj(GuestAddress(base + 2)).unwrap();
        let mut list = Vec::new();
        while self.rings[queue].used != index {
            let slot = base + 4 + 8 * u64::from(self.rings[queue].used % self.rings[queue].size);
            list.push((
                self.memory.read_obj(GuestAddress(slot)).unwrap(),
                self.memory.read_obj(GuestAddress(slot + 4)).unwrap(),
            ));
            self.rings[queue].used = self.rings[queue].used.wrapping_add(1);
        }
        list
    }

    pub fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory
            .read_slice(&mut bytes, GuestAddress(address))
            .unwrap();
        bytes
    }

    pub fn put(&self, address: u64, bytes: &[u8]) {
        self.memory
            .write_slice(bytes, GuestAddress(address))
            .unwrap();
    }

    pub fn needs_reset(&self) -> bool {
        self.read(reg::VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET != 0
    }
}

fn ring(queue: usize) -> u64 {
    RINGS + RING_STRIDE * queue as u64
}

/// What a [`Scripted`] device does each time.
pub type Script = Box<dyn FnMut() -> Next + Send>;

/// A device with one queue that does what a test says.
pub struct Scripted {
    pub script: Script,
    pub source: Option<OwnedFd>,
}

impl Device for Scripted {
    fn id(&self) -> u32 {
        42
    }
    fn features(&self) -> u64 {
        0
    }
    fn queue_count(&self) -> usize {
        1
    }
    fn read_config(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }
    fn reset(&mut self) {}
    fn source(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().map(AsFd::as_fd)
    }
    fn process(
        &mut self,
        _memory: &GuestMemoryMmap,
        _queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        Ok((self.script)())
    }
}

/// The writes that bring up a device without its queues: register and value.
pub const BRING_UP: [(u32, u32); 6] = [
    (reg::VIRTIO_MMIO_STATUS, 0),
    (reg::VIRTIO_MMIO_STATUS, FOUND),
    (reg::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1),
    (
        reg::VIRTIO_MMIO_DRIVER_FEATURES,
        1 << (VIRTIO_F_VERSION_1 - 32),
    ),
    (reg::VIRTIO_MMIO_STATUS, FOUND | VIRTIO_CONFIG_S_FEATURES_OK),
    (reg::VIRTIO_MMIO_STATUS, LIVE),
];

/// The status of a device that a driver has found.
const FOUND: u32 = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
/// And of one that it has brought up.
pub const LIVE: u32 = FOUND | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
