// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the two threads share: guest memory, devices, the kernel's console.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cki_abi::errors::{E_ARGUMENT, E_RANGE};
use cki_abi::hypercalls::arguments::{EVENT_CONSOLE, EVENT_DEVICE};
use cki_abi::limits::FRAME_SIZE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::console::GuestConsole;
use super::waker::Waker;
use crate::device::Container;
use crate::virtio::block::Block;
use crate::virtio::console::{Console, Interest};
use crate::virtio::mmio::Transport;

/// Number of the console device.
pub const CONSOLE: u32 = 0;
/// Number of the disk, if there is one.
pub const DISK: u32 = 1;
/// The vCPU that devices interrupt.
const VCPU: u32 = 0;

/// The ports of the console, in the order of `cki_session::port::ALL`.
pub mod port {
    /// Messages.
    pub const CONTROL: usize = 0;
    /// Standard input.
    pub const STDIN: usize = 1;
    /// Standard output.
    pub const STDOUT: usize = 2;
    /// Standard error.
    pub const STDERR: usize = 3;
    /// How many.
    pub const COUNT: usize = 4;
}

struct Devices {
    console: Transport<Console>,
    disk: Option<Transport<Block>>,
}

/// A started container's outside.
pub struct Machine {
    container: Arc<dyn Container>,
    memory: GuestMemoryMmap,
    devices: Mutex<Devices>,
    console: Mutex<GuestConsole>,
    waker: Waker,
}

/// What a hypercall's caller gets when it fails: an error of the ABI, negated.
pub type Refused = i64;

const fn refused(error: u64) -> Refused {
    -(error as i64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has ended the process's use of the container anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// Puts the parts together. `memory` reaches the Data frames; `waker` is woken when the session's thread has
    /// something to do for a device.
    ///
    /// # Errors
    /// Never for the queue size that all devices have.
    pub fn new(
        container: Arc<dyn Container>,
        memory: GuestMemoryMmap,
        console: GuestConsole,
        ports: Console,
        disk: Option<Block>,
        waker: Waker,
    ) -> Result<Self, virtio_queue::Error> {
        Ok(Machine {
            container,
            memory,
            devices: Mutex::new(Devices {
                console: Transport::new(ports)?,
                disk: disk.map(Transport::new).transpose()?,
            }),
            console: Mutex::new(console),
            waker,
        })
    }

    /// Reads a register of a device.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn mmio_read(&self, device: u64, offset: u64, size: u64) -> Result<u64, Refused> {
        let devices = lock(&self.devices);
        let value = match (device as u32, &devices.disk) {
            (CONSOLE, _) => devices.console.read(offset, size),
            (DISK, Some(disk)) => disk.read(offset, size),
            _ => return Err(refused(E_ARGUMENT)),
        };
        value.map_err(|_| refused(E_ARGUMENT))
    }

    /// Writes a register of a device, and does what follows from it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn mmio_write(
        &self,
        device: u64,
        offset: u64,
        size: u64,
        value: u64,
    ) -> Result<(), Refused> {
        let mut devices = lock(&self.devices);
        let Devices { console, disk } = &mut *devices;
        match (device as u32, disk) {
            (CONSOLE, _) => {
                let before = waits(console);
                let result = console.write(&self.memory, offset, size, value);
                if waits(console) != before {
                    self.waker.wake();
                }
                self.interrupt(CONSOLE, console.take_interrupt());
                result
            }
            (DISK, Some(disk)) => {
                let result = disk.write(&self.memory, offset, size, value);
                self.interrupt(DISK, disk.take_interrupt());
                result
            }
            _ => return Err(refused(E_ARGUMENT)),
        }
        .map_err(|_| refused(E_ARGUMENT))
    }

    /// Has the console do what has become possible on our side.
    pub fn poll(&self) {
        let mut devices = lock(&self.devices);
        devices.console.poll(&self.memory);
        self.interrupt(CONSOLE, devices.console.take_interrupt());
    }

    /// What the ports wait for.
    #[must_use]
    pub fn interests(&self) -> [Interest; port::COUNT] {
        waits(&lock(&self.devices).console).0
    }

    /// Why a port's output goes nowhere, if so.
    #[must_use]
    pub fn broken(&self, port: usize) -> Option<ErrorKind> {
        lock(&self.devices).console.device.broken(port)
    }

    /// Console output of the guest kernel; the bytes taken.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn console_write(&self, hpa: u64, length: u64) -> Result<u64, Refused> {
        let mut bytes = [0; FRAME_SIZE as usize];
        let part = bytes
            .get_mut(..length as usize)
            .ok_or(refused(E_ARGUMENT))?;
        self.memory
            .read_slice(part, GuestAddress(hpa))
            .map_err(|_| refused(E_RANGE))?;
        lock(&self.console).write(part);
        Ok(length)
    }

    /// Console input for the guest kernel; the bytes given.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn console_read(&self, hpa: u64, length: u64) -> Result<u64, Refused> {
        let mut bytes = [0; FRAME_SIZE as usize];
        let room = bytes
            .get_mut(..length as usize)
            .ok_or(refused(E_ARGUMENT))?;
        let count = lock(&self.console).read(room);
        self.memory
            .write_slice(&bytes[..count], GuestAddress(hpa))
            .map_err(|_| refused(E_RANGE))?;
        // There is room again.
        self.waker.wake();
        Ok(count as u64)
    }

    /// Bytes that can be typed now.
    #[must_use]
    pub fn console_room(&self) -> usize {
        lock(&self.console).room()
    }

    /// Types on the guest kernel's console.
    pub fn type_in(&self, bytes: &[u8]) {
        lock(&self.console).type_in(bytes);
        self.raise(EVENT_CONSOLE as u32);
    }

    /// The last lines that the guest kernel printed.
    #[must_use]
    pub fn console_text(&self) -> String {
        lock(&self.console).text()
    }

    /// Ends the container.
    pub fn kill(&self) {
        self.container.kill();
    }

    fn interrupt(&self, device: u32, wanted: bool) {
        if wanted {
            self.raise(EVENT_DEVICE as u32 + device);
        }
    }

    fn raise(&self, event: u32) {
        // It fails only when the container has ended, which its vCPU tells.
        let _ = self.container.raise(VCPU, event);
    }
}

/// What the ports wait for, and which are broken: a change of either concerns the thread that serves the session.
fn waits(console: &Transport<Console>) -> ([Interest; port::COUNT], [bool; port::COUNT]) {
    let device = &console.device;
    (
        std::array::from_fn(|port| device.interest(port)),
        std::array::from_fn(|port| device.broken(port).is_some()),
    )
}
