// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of devices: what the guest reaches by which slot number, and who does a device's work.
//!
//! Each device has a lock of its own, held for a bounded piece of its work. The console's work is done
//! by whoever notices it: the vCPU's thread that was told of a buffer, the session's thread that polls
//! streams. Every other device has a thread, which may wait, for a disk for instance, while the vCPU
//! runs on: the registers that a driver needs then are reached without the device's lock.
//!
//! With a module, what such a device and the guest tell each other does not go by the vCPU's thread either:
//! [`Table::attach`].
//!
//! The guest finds the devices by asking each slot for its device type: the number of slots is in its
//! start info (`device_count`), so nothing else announces them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use cki_abi::hypercalls::arguments::EVENT_DEVICE;
use cki_abi::limits::DEVICES_MAX;
use parking_lot::Mutex;
use virtio_bindings::virtio_mmio::{
    VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_QUEUE_NOTIFY,
};
use vm_memory::GuestMemoryMmap;

use super::waker::Waker;
use crate::counts::{Count, OfDevice, Tallied};
use crate::jail::Duty;
use crate::module::{Container, ModuleError, Register};
use crate::virtio::console::Console;
use crate::virtio::mmio::{NoRegister, Transport};
use crate::virtio::{Device, Next};

/// The vCPU that devices interrupt.
pub const VCPU: u32 = 0;

/// A device cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// All slots are taken.
    #[error("a container has {DEVICES_MAX} devices at most")]
    Full,
    /// No descriptor is left to wait with.
    #[error("a device cannot be waited for")]
    Descriptor(#[from] io::Error),
    /// The module does not take a device's descriptors.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A queue's size is invalid: a bug, since all devices have the same.
    #[error("virtqueue")]
    Queue(#[from] virtio_queue::Error),
}

/// A device in the table.
pub struct Slot<D: ?Sized = dyn Device> {
    number: u32,
    /// The transport's ([`Transport::interrupt_status`] says in which order it is read and written).
    interrupt_status: Arc<AtomicU32>,
    thread: Option<Thread>,
    tallied: Option<Tallied>,
    /// Notifications; of a device with a thread, all that woke it.
    notifications: Count,
    /// What woke it, and was no notification.
    others: Count,
    interrupts: Count,
    /// Last, so that the slot of a device is one of `dyn Device` too.
    transport: Mutex<Transport<D>>,
}

/// What the thread of a device needs.
#[derive(Debug)]
pub struct Thread {
    /// Wakes it: a blocking one.
    pub waker: Waker,
    /// What else it waits for ([`Device::source`]).
    pub source: Option<OwnedFd>,
    /// What it does, and so what it may ask of the host's kernel.
    pub duty: Duty,
    /// Interrupts the guest, once the device has been attached to a container.
    interrupt: OnceLock<Waker>,
    /// Set before the waker is woken and read after it was waited for; the two system calls would order it alone.
    stopped: AtomicBool,
}

impl Thread {
    fn new(device: &dyn Device, duty: Duty) -> io::Result<Self> {
        let source = device.source().map(|source| source.try_clone_to_owned());
        Ok(Thread {
            waker: Waker::blocking()?,
            source: source.transpose()?,
            duty,
            interrupt: OnceLock::new(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Has the module wake it, and the guest interrupted by it.
    fn attach(&self, container: &dyn Container, number: u32) -> Result<(), TableError> {
        let notify = Register {
            device: number,
            offset: VIRTIO_MMIO_QUEUE_NOTIFY,
        };
        container.signal_on(notify, self.waker.as_fd())?;
        let interrupt = Waker::new()?;
        container.raise_on(interrupt.as_fd(), VCPU, event(number))?;
        // Once: there is one container.
        let _ = self.interrupt.set(interrupt);
        Ok(())
    }

    /// Asks it to end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it was asked to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

impl<D: Device> Slot<D> {
    fn new(number: u32, device: D, thread: Option<Thread>) -> Result<Self, TableError> {
        let tallied = device.tally();
        let transport = Transport::new(device)?;
        Ok(Slot {
            number,
            interrupt_status: transport.interrupt_status(),
            thread,
            tallied,
            notifications: Count::default(),
            others: Count::default(),
            interrupts: Count::default(),
            transport: Mutex::new(transport),
        })
    }
}

impl<D: Device + ?Sized> Slot<D> {
    /// Its number, by which the guest reaches it.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The thread of its own, if it has one.
    #[must_use]
    pub fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref()
    }

    /// Interrupts the guest.
    pub fn interrupt(&self, container: &dyn Container) {
        let attached = self
            .thread
            .as_ref()
            .and_then(|thread| thread.interrupt.get());
        match attached {
            Some(interrupt) => interrupt.wake(),
            // It fails only when the container has ended, which its vCPU tells.
            None => drop(container.raise(VCPU, event(self.number))),
        }
    }

    /// Its thread was woken so often: by notifications, which the module passes on without us, or otherwise.
    pub fn count_wakes(&self, wakes: u64) {
        self.notifications.add(wakes);
    }

    /// The driver is interrupted once more.
    pub fn count_interrupt(&self) {
        self.interrupts.add(1);
    }

    /// What it has counted, if it counts. Takes no lock: the device may be at work.
    #[must_use]
    pub fn counts(&self) -> Option<OfDevice> {
        let others = [
            (
                "notifications",
                self.notifications.get().saturating_sub(self.others.get()),
            ),
            ("interrupts", self.interrupts.get()),
        ];
        Some(self.tallied.as_ref()?.read(&others))
    }

    /// Looks at the device, under its lock.
    pub fn look<T>(&self, look: impl FnOnce(&D) -> T) -> T {
        look(&self.transport.lock().device)
    }

    /// Reads `size` bytes of a register.
    ///
    /// # Errors
    /// [`NoRegister`].
    pub fn read(&self, offset: u64, size: u64) -> Result<u64, NoRegister> {
        if (offset, size) == (VIRTIO_MMIO_INTERRUPT_STATUS.into(), 4) {
            return Ok(self.interrupt_status.load(Ordering::Acquire).into());
        }
        self.transport.lock().read(offset, size)
    }

    /// Writes `size` bytes of a register. What the device is to do then, its thread does; without one, a first
    /// piece of it is done here, and [`Slot::turn`] does the rest.
    ///
    /// # Errors
    /// [`NoRegister`].
    pub fn write(
        &self,
        memory: &GuestMemoryMmap,
        offset: u64,
        size: u64,
        value: u64,
    ) -> Result<Next, NoRegister> {
        if (offset, size) == (VIRTIO_MMIO_INTERRUPT_ACK.into(), 4) {
            let acknowledged = value as u32;
            self.interrupt_status
                .fetch_and(!acknowledged, Ordering::Acquire);
            return Ok(Next::default());
        }
        let notifies = (offset, size) == (VIRTIO_MMIO_QUEUE_NOTIFY.into(), 4);
        if let Some(thread) = self.thread.as_ref().filter(|_| notifies) {
            // Whether the queue is one, and ready, the thread sees.
            thread.waker.wake();
            return Ok(Next::default());
        }
        self.notifications.add(notifies.into());
        let mut transport = self.transport.lock();
        let due = transport.write(memory, offset, size, value)?;
        Ok(match (due, &self.thread) {
            (None, _) => Next::default(),
            (Some(_), Some(thread)) => {
                self.others.add(1);
                thread.waker.wake();
                Next::default()
            }
            (due, None) => transport.process(memory, due),
        })
    }

    /// Whether a driver has brought it up, and nothing has broken since.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.transport.lock().is_live()
    }

    /// Has the device do a bounded piece of what it can do now.
    pub fn turn(&self, memory: &GuestMemoryMmap) -> Next {
        self.transport.lock().process(memory, None)
    }
}

/// The event by which a device interrupts.
fn event(number: u32) -> u32 {
    EVENT_DEVICE as u32 + number
}

/// The devices of a container.
pub struct Table {
    console: Arc<Slot<Console>>,
    slots: Vec<Arc<Slot>>,
}

impl Table {
    /// A table with the console, in slot 0.
    ///
    /// # Errors
    /// Never for the queue size that all devices have.
    pub fn new(console: Console) -> Result<Self, TableError> {
        let console = Arc::new(Slot::new(0, console, None)?);
        let slots = vec![Arc::clone(&console) as Arc<Slot>];
        Ok(Table { console, slots })
    }

    /// Adds a device, whose thread has `duty`; the number of its slot.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn add(&mut self, device: impl Device + 'static, duty: Duty) -> Result<u32, TableError> {
        let number = self.len();
        if u64::from(number) == DEVICES_MAX {
            return Err(TableError::Full);
        }
        let thread = Thread::new(&device, duty)?;
        self.slots
            .push(Arc::new(Slot::new(number, device, Some(thread))?));
        Ok(number)
    }

    /// Attaches the devices that have threads to a container that has not been started: a driver that notifies one
    /// wakes its thread, and the thread interrupts the guest, each by an eventfd of the module's.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn attach(&self, container: &dyn Container) -> Result<(), TableError> {
        self.threaded().try_for_each(|slot| {
            let mut thread = slot.thread().into_iter();
            thread.try_for_each(|thread| thread.attach(container, slot.number()))
        })
    }

    /// How many slots there are, which the guest is told (`device_count`).
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always the console")]
    pub fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The console.
    #[must_use]
    pub fn console(&self) -> &Slot<Console> {
        &self.console
    }

    /// A device by the number of its slot.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Slot> {
        let number = usize::try_from(number).ok()?;
        self.slots.get(number).map(AsRef::as_ref)
    }

    /// What devices have counted, in the order of their slots.
    #[must_use]
    pub fn counts(&self) -> Vec<OfDevice> {
        self.slots.iter().filter_map(|slot| slot.counts()).collect()
    }

    /// The devices that have threads.
    pub fn threaded(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.slots.iter().filter(|slot| slot.thread().is_some())
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
