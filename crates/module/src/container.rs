// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container descriptor.

use std::fs::File;
use std::io;
use std::sync::Arc;

use cki_abi::uapi::container::Event;
use cki_abi::uapi::eventfd::{Ioeventfd, Irqfd};
use cki_abi::uapi::ioctls::{CREATE_VCPU, IOEVENTFD, IRQFD, KILL, RAISE_EVENT, START};
use cki_abi::uapi::start::Start;

use crate::{Mapping, Vcpu, call};

/// A container. Any thread may make its calls.
#[derive(Clone, Debug)]
pub struct Container(Arc<File>);

impl Container {
    pub(crate) fn new(file: File) -> Self {
        Container(Arc::new(file))
    }

    /// What to mmap to reach the memory.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.0
    }

    /// Maps the first `size` bytes of the memory.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn map(&self, size: usize) -> io::Result<Mapping> {
        Mapping::new(&*self.0, size)
    }

    /// CKI_CREATE_VCPU, without a look at what it has made.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn vcpu_descriptor(&self, number: u64) -> io::Result<File> {
        // SAFETY: the call takes a number.
        let descriptor = unsafe { call::with_number(&self.0, CREATE_VCPU, number) }?;
        // SAFETY: the module has made the descriptor for this call.
        Ok(unsafe { call::own(descriptor) })
    }

    /// CKI_CREATE_VCPU, and maps its run page.
    ///
    /// # Errors
    ///
    /// What module and kernel say.
    pub fn vcpu(&self, number: u64) -> io::Result<Vcpu> {
        Vcpu::new(self.vcpu_descriptor(number)?)
    }

    /// CKI_START. The addresses in `start` are those of lists in this process; the module reads them, as far as
    /// they may be read, and writes to nothing but `start`. Its size is set here.
    ///
    /// # Errors
    ///
    /// What the module says; with EPERM, `start` has the refusal.
    pub fn start(&self, start: &mut Start) -> io::Result<()> {
        start.size = size_of::<Start>() as u32;
        // SAFETY: the call takes a Start, which says its size. What its addresses name is only read.
        unsafe { call::with_structure(&self.0, START, start) }.map(|_| ())
    }

    /// CKI_RAISE_EVENT.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn raise(&self, vcpu: u32, event: u32) -> io::Result<()> {
        let mut event = Event { vcpu, event };
        // SAFETY: the call takes an Event.
        unsafe { call::with_structure(&self.0, RAISE_EVENT, &mut event) }.map(|_| ())
    }

    /// CKI_IOEVENTFD.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn ioeventfd(&self, mut wanted: Ioeventfd) -> io::Result<()> {
        // SAFETY: the call takes an Ioeventfd.
        unsafe { call::with_structure(&self.0, IOEVENTFD, &mut wanted) }.map(|_| ())
    }

    /// CKI_IRQFD.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn irqfd(&self, mut wanted: Irqfd) -> io::Result<()> {
        // SAFETY: the call takes an Irqfd.
        unsafe { call::with_structure(&self.0, IRQFD, &mut wanted) }.map(|_| ())
    }

    /// CKI_KILL.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn kill(&self) -> io::Result<()> {
        // SAFETY: the call takes no argument.
        unsafe { call::with_number(&self.0, KILL, 0) }.map(|_| ())
    }
}
