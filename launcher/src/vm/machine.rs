// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the two threads share: guest memory, devices, the kernel's console.

use std::fs::File;
use std::io::ErrorKind;
use std::io::Write;
use std::sync::Arc;

use cki_abi::errors::{E_ARGUMENT, E_RANGE};
use cki_abi::hypercalls::arguments::{EVENT_CONSOLE, EVENT_DEVICE};
use cki_abi::limits::FRAME_SIZE;
use parking_lot::Mutex;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::console::GuestConsole;
use super::waker::Waker;
use crate::module::Container;
use crate::virtio::Device;
use crate::virtio::block::Block;
use crate::virtio::console::{Console, Interest};
use crate::virtio::mmio::{NoRegister, Transport};

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

/// What came of a piece of a device's work.
struct Turn {
    result: Result<(), NoRegister>,
    /// There is more that it can do now.
    more: bool,
    /// The session's thread has something new to wait for.
    waits_changed: bool,
}

/// A started container's outside.
///
/// The session's thread takes the locks to see what there is to do, and so to see signals and deadlines:
/// they are held for a bounded piece of work, and given up fairly, so that a guest that notifies its
/// devices without end does not keep that thread away. (The locks of the standard library are not fair.)
pub struct Machine {
    container: Arc<dyn Container>,
    memory: GuestMemoryMmap,
    devices: Mutex<Devices>,
    console: Mutex<GuestConsole>,
    /// Where the kernel's output is copied to, as long as that can be written. Writing may wait for a
    /// reader that has stopped, so only the vCPU's thread takes this lock.
    copy: Mutex<Option<File>>,
    waker: Waker,
}

/// What a hypercall's caller gets when it fails: an error of the ABI, negated.
pub type Refused = i64;

const fn refused(error: u64) -> Refused {
    -(error as i64)
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
        copy: Option<File>,
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
            console: Mutex::default(),
            copy: Mutex::new(copy),
            waker,
        })
    }

    /// Reads a register of a device.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn mmio_read(&self, device: u64, offset: u64, size: u64) -> Result<u64, Refused> {
        let devices = self.devices.lock();
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
        let device = u32::try_from(device).map_err(|_| refused(E_ARGUMENT))?;
        let mut turn = self.turn(device, Some((offset, size, value)))?;
        let result = turn.result;
        loop {
            if turn.waits_changed {
                self.waker.wake();
            }
            if !turn.more {
                return result.map_err(|_| refused(E_ARGUMENT));
            }
            turn = self.turn(device, None)?;
        }
    }

    /// Has the console do what has become possible on our side. Returns whether there is more that it can do:
    /// call again, after a look at signals and time.
    pub fn poll(&self) -> bool {
        self.turn(CONSOLE, None).is_ok_and(|turn| turn.more)
    }

    /// A write to a register of a device, or without one what it can do now; one bounded piece, under the lock.
    fn turn(&self, device: u32, write: Option<(u64, u64, u64)>) -> Result<Turn, Refused> {
        let mut devices = self.devices.lock();
        let before = waits(&devices.console);
        let Devices { console, disk } = &mut *devices;
        let (result, more) = match (device, disk) {
            (CONSOLE, _) => self.step(device, console, write),
            (DISK, Some(disk)) => self.step(device, disk, write),
            _ => return Err(refused(E_ARGUMENT)),
        };
        Ok(Turn {
            result,
            more,
            waits_changed: waits(&devices.console) != before,
        })
    }

    fn step<D: Device>(
        &self,
        device: u32,
        transport: &mut Transport<D>,
        write: Option<(u64, u64, u64)>,
    ) -> (Result<(), NoRegister>, bool) {
        let result = match write {
            Some((offset, size, value)) => transport.write(&self.memory, offset, size, value),
            None => {
                transport.poll(&self.memory);
                Ok(())
            }
        };
        if transport.take_interrupt() {
            self.raise(EVENT_DEVICE as u32 + device);
        }
        (result, transport.take_more())
    }

    /// What the ports wait for.
    #[must_use]
    pub fn interests(&self) -> [Interest; port::COUNT] {
        waits(&self.devices.lock().console).0
    }

    /// Why a port's output goes nowhere, if so.
    #[must_use]
    pub fn broken(&self, port: usize) -> Option<ErrorKind> {
        self.devices.lock().console.device.broken(port)
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
        self.console.lock().write(part);
        let mut copy = self.copy.lock();
        if copy
            .as_mut()
            .is_some_and(|file| file.write_all(part).is_err())
        {
            *copy = None;
        }
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
        let count = self.console.lock().read(room);
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
        self.console.lock().room()
    }

    /// Types on the guest kernel's console.
    pub fn type_in(&self, bytes: &[u8]) {
        self.console.lock().type_in(bytes);
        self.raise(EVENT_CONSOLE as u32);
    }

    /// The last lines that the guest kernel printed.
    #[must_use]
    pub fn console_text(&self) -> String {
        self.console.lock().text()
    }

    /// Ends the container.
    pub fn kill(&self) {
        self.container.kill();
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
