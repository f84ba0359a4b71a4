// SPDX-License-Identifier: MIT OR Apache-2.0

//! A vCPU descriptor and its run page.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use cki_abi::uapi::ioctls::RUN;
use cki_abi::uapi::run::exits::{EXIT_MMIO_READ, EXIT_MMIO_WRITE};
use cki_abi::uapi::run::{Mmio, RUN_SIZE, RunPage};

use crate::{Exit, Mapping, call};

/// A vCPU.
#[derive(Debug)]
pub struct Vcpu {
    file: File,
    page: RunMapping,
}

/// A vCPU's run page, which may outlive the vCPU.
#[derive(Clone, Debug)]
pub struct RunMapping(Arc<Mapping>);

impl RunMapping {
    /// What it holds now. Of use when the vCPU's thread is not in CKI_RUN, where the module writes it.
    #[must_use]
    pub fn read(&self) -> RunPage {
        // SAFETY: in the mapping and aligned. A RunPage is nothing but integers: whatever is there is one.
        unsafe { self.0.at::<RunPage>(0).read_volatile() }
    }

    /// Why the vCPU came back. Nearly always that is for a register, at each request to a device: then no more is read
    /// than goes with it.
    fn exit(&self) -> Exit {
        // SAFETY: in the mapping and aligned; any number is a reason.
        let reason = unsafe {
            self.0
                .at::<u32>(offset_of!(RunPage, exit_reason))
                .read_volatile()
        };
        // SAFETY: in the mapping and aligned. An Mmio is nothing but integers, and the first that `detail` can be.
        let access = || unsafe {
            self.0
                .at::<Mmio>(offset_of!(RunPage, detail))
                .read_volatile()
        };
        match reason {
            EXIT_MMIO_READ => Exit::read_of(access()),
            EXIT_MMIO_WRITE => Exit::write_of(access()),
            _ => Exit::of(&self.read()),
        }
    }

    fn answer(&self, status: i64, value: u64) {
        // SAFETY: both are in the mapping and aligned, and nobody has references into it.
        unsafe {
            self.0
                .at::<i64>(offset_of!(RunPage, status))
                .write_volatile(status);
            self.0
                .at::<u64>(offset_of!(RunPage, value))
                .write_volatile(value);
        }
    }
}

impl Vcpu {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let page = RunMapping(Arc::new(Mapping::new(&file, RUN_SIZE as usize)?));
        Ok(Vcpu { file, page })
    }

    /// The run page.
    #[must_use]
    pub fn page(&self) -> &RunMapping {
        &self.page
    }

    /// CKI_RUN, once.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn run(&self) -> io::Result<Exit> {
        // SAFETY: the call takes no argument. It writes the run page, to which there are no references.
        unsafe { call::with_number(&self.file, RUN, 0) }?;
        Ok(self.page.exit())
    }

    /// Sets what the guest gets for the last exit: `status` 0 or a negated `E_*`, and a value.
    pub fn answer(&self, status: i64, value: u64) {
        self.page.answer(status, value);
    }
}

impl AsFd for Vcpu {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;

    use super::*;

    #[test]
    fn an_exit_is_read_off_the_page_as_off_a_copy_of_it() {
        // SAFETY: a name that ends with 0, and a flag that the call knows.
        let number = unsafe { libc::memfd_create(c"run".as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: the descriptor is new, and nobody else's.
        let file = unsafe { File::from_raw_fd(number) };
        file.set_len(RUN_SIZE.into()).unwrap();
        let page = RunMapping(Arc::new(Mapping::new(&file, RUN_SIZE as usize).unwrap()));
        let mut run = RunPage::default();
        for (number, word) in (100..).zip(&mut run.detail.0) {
            *word = number;
        }
        for reason in 0..12 {
            run.exit_reason = reason;
            // SAFETY: in the mapping and aligned, and nobody has references into it.
            unsafe { page.0.at::<RunPage>(0).write_volatile(run) };
            assert_eq!(page.exit(), Exit::of(&run), "{reason}");
        }
        let read = Exit::MmioRead {
            device: 100,
            offset: 101,
            size: 102,
        };
        run.exit_reason = EXIT_MMIO_READ;
        assert_eq!(Exit::of(&run), read);
    }
}
