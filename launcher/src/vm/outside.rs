// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the threads share: guest memory, devices, the kernel's console.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use cki_abi::errors::{E_ARGUMENT, E_RANGE};
use cki_abi::hypercalls::arguments::EVENT_CONSOLE;
use cki_abi::limits::FRAME_SIZE;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::console::GuestConsole;
use super::table::{Slot, Table, Thread, VCPU};
use super::waker::Waker;
use crate::module::Container;
use crate::virtio::console::{Console, Interest};
use crate::virtio::{Device, Next};

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

/// A started container's outside.
///
/// The session's thread takes the console's locks to see what there is to do, and so to see signals and
/// deadlines: they are held for a bounded piece of work, and given up fairly, so that a guest that notifies
/// its devices without end does not keep that thread away. (The locks of the standard library are not fair.)
/// Of the other devices it takes no lock.
pub struct Outside {
    container: Arc<dyn Container>,
    memory: GuestMemoryMmap,
    devices: Table,
    console: Mutex<GuestConsole>,
    /// Where the kernel's output is copied to, as long as that can be written. Writing may wait for a
    /// reader that has stopped, so only the vCPU's thread takes this lock.
    copy: Mutex<Option<File>>,
    /// Why it cannot be written any more.
    copy_broken: Mutex<Option<ErrorKind>>,
    waker: Waker,
}

/// What a hypercall's caller gets when it fails: an error of the ABI, negated.
pub type Refused = i64;

/// Writes all of it, and waits where there is no room, as for any other file, if whoever gave it to us has made it one
/// that does not wait.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE)?;
                // A virtio-serial port whose other end has gone takes nothing, and only poll says why.
                let flags = fds[0].revents().unwrap_or(PollFlags::empty());
                if !flags.contains(PollFlags::POLLOUT) {
                    return Err(ErrorKind::BrokenPipe.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const fn refused(error: u64) -> Refused {
    -(error as i64)
}

impl Outside {
    /// Puts the parts together. `memory` reaches the Data frames; `waker` is woken when the session's thread has
    /// something to do for the console.
    #[must_use]
    pub fn new(
        container: Arc<dyn Container>,
        memory: GuestMemoryMmap,
        copy: Option<File>,
        devices: Table,
        waker: Waker,
    ) -> Self {
        Outside {
            container,
            memory,
            devices,
            console: Mutex::default(),
            copy: Mutex::new(copy),
            copy_broken: Mutex::default(),
            waker,
        }
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &Table {
        &self.devices
    }

    /// Reads a register of a device.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn mmio_read(&self, device: u64, offset: u64, size: u64) -> Result<u64, Refused> {
        let slot = self.devices.get(device).ok_or(refused(E_ARGUMENT))?;
        slot.read(offset, size).map_err(|_| refused(E_ARGUMENT))
    }

    /// Writes a register of a device, and does what follows from it unless the device has a thread for that.
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
        let slot = self.devices.get(device).ok_or(refused(E_ARGUMENT))?;
        let mut next = slot
            .write(&self.memory, offset, size, value)
            .map_err(|_| refused(E_ARGUMENT))?;
        self.follow(slot, next);
        while next.more {
            next = self.turn(slot);
        }
        Ok(())
    }

    /// Has the console do what has become possible on our side. Returns whether there is more that it can do:
    /// call again, after a look at signals and time.
    pub fn poll(&self) -> bool {
        self.turn(self.devices.console()).more
    }

    /// Has a device do a bounded piece of what it can do now, and tells whom it concerns.
    pub fn turn<D: Device + ?Sized>(&self, slot: &Slot<D>) -> Next {
        let next = slot.turn(&self.memory);
        self.follow(slot, next);
        next
    }

    fn follow<D: Device + ?Sized>(&self, slot: &Slot<D>, next: Next) {
        if next.notify {
            slot.count_interrupt();
            slot.interrupt(&*self.container);
        }
        // A device with a thread waits there.
        if next.waits_changed && slot.thread().is_none() {
            self.waker.wake();
        }
    }

    /// What the ports wait for.
    #[must_use]
    pub fn interests(&self) -> [Interest; port::COUNT] {
        let of = |console: &Console| std::array::from_fn(|port| console.interest(port));
        self.devices.console().look(of)
    }

    /// Why a port's output goes nowhere, if so.
    #[must_use]
    pub fn broken(&self, port: usize) -> Option<ErrorKind> {
        self.devices.console().look(|console| console.broken(port))
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
        if let Some(Err(error)) = copy.as_mut().map(|file| write_all(file, part)) {
            *copy = None;
            *self.copy_broken.lock() = Some(error.kind());
            self.waker.wake();
        }
        Ok(length)
    }

    /// Why the kernel's output is copied nowhere any more, if so.
    #[must_use]
    pub fn copy_broken(&self) -> Option<ErrorKind> {
        *self.copy_broken.lock()
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
        // It fails only when the container has ended, which its vCPU tells.
        let _ = self.container.raise(VCPU, EVENT_CONSOLE as u32);
    }

    /// The last lines that the guest kernel printed.
    #[must_use]
    pub fn console_text(&self) -> String {
        self.console.lock().text()
    }

    /// Ends the container, and tells the devices' threads to end.
    pub fn kill(&self) {
        self.container.kill();
        for slot in self.devices.threaded() {
            slot.thread().into_iter().for_each(Thread::stop);
        }
    }
}
