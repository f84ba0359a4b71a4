// SPDX-License-Identifier: MIT OR Apache-2.0

//! The registers of a virtio-mmio device, version 2 (virtio 1.2, 4.2.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FAILED, VIRTIO_CONFIG_S_FEATURES_OK,
    VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_DEVICE_FEATURES,
    VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES,
    VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING,
    VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_MAGIC_VALUE,
    VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH,
    VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NUM,
    VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_SEL,
    VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_SHM_BASE_HIGH,
    VIRTIO_MMIO_SHM_BASE_LOW, VIRTIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_LEN_LOW,
    VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VERSION,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

use super::{Device, Next};

/// "virt" in memory order.
const MAGIC: u32 = u32::from_le_bytes(*b"virt");
/// "CKI " in memory order.
const VENDOR: u32 = u32::from_le_bytes(*b"CKI ");
/// Bytes of a device's registers.
const SIZE: u64 = 0x1000;

/// Features that the transport and the queues bring.
const TRANSPORT_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX;

/// An access that no register has: misaligned, of a wrong size, or beyond the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such register")]
pub struct NoRegister;

/// Work that a write to a register asked a device for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A queue was notified.
    Queue(usize),
    /// The driver finished its set-up: buffers may be in any queue.
    All,
}

/// A device and its registers.
#[derive(Debug)]
pub struct Transport<D: ?Sized> {
    queues: Vec<Queue>,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    interrupt_status: Arc<AtomicU32>,
    /// The device. Last, so that a transport of a device is one of `dyn Device` too.
    pub device: D,
}

impl<D: Device> Transport<D> {
    /// A device after reset.
    ///
    /// # Errors
    /// Never for a size ([`Device::queue_size`]) that is a power of two.
    pub fn new(device: D) -> Result<Self, virtio_queue::Error> {
        let queues = (0..device.queue_count())
            .map(|_| Queue::new(device.queue_size()))
            .collect::<Result<_, _>>()?;
        Ok(Transport {
            queues,
            status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            interrupt_status: Arc::default(),
            device,
        })
    }
}

impl<D: Device + ?Sized> Transport<D> {
    /// The register InterruptStatus, for a driver that must not wait while the device works.
    ///
    /// Acquire and release are enough, for there is this one word to agree on: whoever sets a bit has put what it is
    /// about into a ring before, and interrupts the guest after, each time. A driver that sees a bit, or takes it away,
    /// sees the ring as it was then; what is put there later sets the bit again, and interrupts again.
    #[must_use]
    pub fn interrupt_status(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.interrupt_status)
    }

    /// Reads `size` bytes (1, 2, 4 or 8) at `offset`.
    ///
    /// # Errors
    /// [`NoRegister`].
    pub fn read(&self, offset: u64, size: u64) -> Result<u64, NoRegister> {
        let Some(register) = register(offset, size)? else {
            let mut data = [0; 8];
            let part = &mut data[..size as usize];
            self.device
                .read_config(offset - u64::from(VIRTIO_MMIO_CONFIG), part);
            return Ok(u64::from_le_bytes(data));
        };
        let value = match register {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => 2,
            VIRTIO_MMIO_DEVICE_ID => self.device.id(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => half(self.offered(), self.device_features_select),
            VIRTIO_MMIO_QUEUE_NUM_MAX => self.selected().map_or(0, |q| u32::from(q.max_size())),
            VIRTIO_MMIO_QUEUE_READY => self.selected().map_or(0, |q| u32::from(q.ready())),
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt_status.load(Ordering::Acquire),
            VIRTIO_MMIO_STATUS => self.status,
            // No shared memory region: 4.2.2 wants a length of all ones.
            VIRTIO_MMIO_SHM_LEN_LOW
            | VIRTIO_MMIO_SHM_LEN_HIGH
            | VIRTIO_MMIO_SHM_BASE_LOW
            | VIRTIO_MMIO_SHM_BASE_HIGH => u32::MAX,
            // The configuration never changes.
            VIRTIO_MMIO_CONFIG_GENERATION => 0,
            _ => 0,
        };
        Ok(u64::from(value))
    }

    /// Writes `size` bytes (1, 2, 4 or 8) at `offset`, and says what the device is to do now, if anything
    /// ([`Transport::process`]). Writes that the standard forbids a driver at this time, and those to
    /// read-only registers, change nothing.
    ///
    /// # Errors
    /// [`NoRegister`].
    pub fn write(
        &mut self,
        memory: &GuestMemoryMmap,
        offset: u64,
        size: u64,
        value: u64,
    ) -> Result<Option<Due>, NoRegister> {
        let Some(register) = register(offset, size)? else {
            // No device here has a configuration that the driver writes.
            return Ok(None);
        };
        let value = value as u32;
        match register {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES => self.set_driver_features(value),
            VIRTIO_MMIO_QUEUE_SEL => self.queue_select = value,
            VIRTIO_MMIO_QUEUE_NOTIFY => return Ok(Some(Due::Queue(value as usize))),
            VIRTIO_MMIO_INTERRUPT_ACK => {
                self.interrupt_status.fetch_and(!value, Ordering::Acquire);
            }
            VIRTIO_MMIO_STATUS => return Ok(self.set_status(value)),
            VIRTIO_MMIO_QUEUE_NUM
            | VIRTIO_MMIO_QUEUE_READY
            | VIRTIO_MMIO_QUEUE_DESC_LOW
            | VIRTIO_MMIO_QUEUE_DESC_HIGH
            | VIRTIO_MMIO_QUEUE_AVAIL_LOW
            | VIRTIO_MMIO_QUEUE_AVAIL_HIGH
            | VIRTIO_MMIO_QUEUE_USED_LOW
            | VIRTIO_MMIO_QUEUE_USED_HIGH => self.configure_queue(memory, register, value),
            _ => {}
        }
        Ok(None)
    }

    /// Lets the device do a bounded piece of what is due, or without `due` of what has become possible on the
    /// host's side, or was left for later. With [`Next::notify`], its event is to be raised.
    pub fn process(&mut self, memory: &GuestMemoryMmap, due: Option<Due>) -> Next {
        let queue = match due {
            Some(Due::Queue(queue)) => Some(queue),
            Some(Due::All) | None => None,
        };
        let not_ready = |queue| !self.queues.get(queue).is_some_and(Queue::ready);
        if !self.is_live() || queue.is_some_and(not_ready) {
            return Next::default();
        }
        match self.device.process(memory, &mut self.queues, queue) {
            Ok(next) => {
                if next.notify {
                    self.interrupt_for(VIRTIO_MMIO_INT_VRING);
                }
                next
            }
            Err(_) => {
                // 2.1.2: the bit, and a configuration change notification.
                self.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
                self.interrupt_for(VIRTIO_MMIO_INT_CONFIG);
                Next {
                    notify: true,
                    // Whatever it waited for, nobody needs to any more.
                    waits_changed: true,
                    ..Next::default()
                }
            }
        }
    }

    /// Whether the driver has finished its set-up and nothing has broken since.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0
            && self.status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED) == 0
    }

    fn offered(&self) -> u64 {
        TRANSPORT_FEATURES | self.device.features()
    }

    fn selected(&self) -> Option<&Queue> {
        self.queues.get(self.queue_select as usize)
    }

    fn set_driver_features(&mut self, value: u32) {
        // Fixed once FEATURES_OK is set (3.1.1).
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            return;
        }
        let value = u64::from(value);
        self.driver_features = match self.driver_features_select {
            0 => self.driver_features & !0xffff_ffff | value,
            1 => self.driver_features & 0xffff_ffff | value << 32,
            _ => self.driver_features,
        };
    }

    fn set_status(&mut self, value: u32) -> Option<Due> {
        if value == 0 {
            self.reset();
            return None;
        }
        // A driver adds bits; only a reset clears them (2.1.1). NEEDS_RESET is the device's.
        let own = self.status & VIRTIO_CONFIG_S_NEEDS_RESET;
        let mut next = self.status | value & !VIRTIO_CONFIG_S_NEEDS_RESET | own;
        let added = next & !self.status;
        if added & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            if self.features_fit() {
                self.device.negotiated(self.driver_features);
            } else {
                // Left clear: the driver reads it back and gives up (3.1.1, step 6).
                next &= !VIRTIO_CONFIG_S_FEATURES_OK;
            }
        }
        if next & VIRTIO_CONFIG_S_FEATURES_OK == 0 {
            next &= !VIRTIO_CONFIG_S_DRIVER_OK;
        }
        let started = next & !self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0;
        self.status = next;
        if started {
            let event_idx = self.driver_features & 1 << VIRTIO_RING_F_EVENT_IDX != 0;
            for queue in &mut self.queues {
                queue.set_event_idx(event_idx);
            }
        }
        started.then_some(Due::All)
    }

    fn features_fit(&self) -> bool {
        self.driver_features & !self.offered() == 0
            && self.driver_features & 1 << VIRTIO_F_VERSION_1 != 0
    }

    fn reset(&mut self) {
        self.device.reset();
        for queue in &mut self.queues {
            queue.reset();
        }
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        // By the only vCPU's thread, which alone reads it, and with the device's lock, as whoever sets bits has it.
        self.interrupt_status.store(0, Ordering::Relaxed);
    }

    fn configure_queue(&mut self, memory: &GuestMemoryMmap, register: u32, value: u32) {
        let settled = VIRTIO_CONFIG_S_FEATURES_OK;
        if self.status & (settled | VIRTIO_CONFIG_S_DRIVER_OK) != settled {
            return;
        }
        let Some(queue) = self.queues.get_mut(self.queue_select as usize) else {
            return;
        };
        if register == VIRTIO_MMIO_QUEUE_READY {
            queue.set_ready(value == 1);
            // Rings outside of Data frames would be found only later; the driver reads this back.
            if value == 1 && !queue.is_valid(memory) {
                queue.set_ready(false);
            }
            return;
        }
        if queue.ready() {
            return;
        }
        match register {
            // What is no power of two or too large is ignored, as the crate does.
            VIRTIO_MMIO_QUEUE_NUM => queue.set_size(u16::try_from(value).unwrap_or(0)),
            VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.set_avail_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.set_avail_ring_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
            _ => queue.set_used_ring_address(None, Some(value)),
        }
    }

    fn interrupt_for(&self, reason: u32) {
        self.interrupt_status.fetch_or(reason, Ordering::Release);
    }
}

/// The register at `offset`; `None` for the configuration space.
fn register(offset: u64, size: u64) -> Result<Option<u32>, NoRegister> {
    if !matches!(size, 1 | 2 | 4 | 8) || offset >= SIZE || SIZE - offset < size {
        return Err(NoRegister);
    }
    if offset >= u64::from(VIRTIO_MMIO_CONFIG) {
        return Ok(None);
    }
    // 4.2.2.2: registers are read and written in 32 bits, aligned.
    if size != 4 || offset % 4 != 0 {
        return Err(NoRegister);
    }
    Ok(Some(offset as u32))
}

fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

#[cfg(test)]
#[path = "mmio_tests.rs"]
mod tests;
