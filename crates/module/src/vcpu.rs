// SPDX-License-Identifier: MIT OR Apache-2.0

//! A vCPU descriptor and its run page.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::sync::Arc;

use cki_abi::uapi::ioctls::RUN;
use cki_abi::uapi::run::{RUN_SIZE, Run};

use crate::{Exit, Mapping, call};

/// A vCPU.
#[derive(Debug)]
pub struct Vcpu {
    file: File,
    page: RunPage,
}

/// A vCPU's run page, which may outlive the vCPU.
#[derive(Clone, Debug)]
pub struct RunPage(Arc<Mapping>);

impl RunPage {
    /// What it holds now. Of use when the vCPU's thread is not in CKI_RUN, where the module writes it.
    #[must_use]
    pub fn read(&self) -> Run {
        // SAFETY: in the mapping and aligned. A Run is nothing but integers: whatever is there is one.
        unsafe { self.0.at::<Run>(0).read_volatile() }
    }

    fn answer(&self, status: i64, value: u64) {
        // SAFETY: both are in the mapping and aligned, and nobody has references into it.
        unsafe {
            self.0
                .at::<i64>(offset_of!(Run, status))
                .write_volatile(status);
            self.0
                .at::<u64>(offset_of!(Run, value))
                .write_volatile(value);
        }
    }
}

impl Vcpu {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let page = RunPage(Arc::new(Mapping::new(&file, RUN_SIZE as usize)?));
        Ok(Vcpu { file, page })
    }

    /// The run page.
    #[must_use]
    pub fn page(&self) -> &RunPage {
        &self.page
    }

    /// CKI_RUN, once.
    ///
    /// # Errors
    ///
    /// What the module says.
    pub fn run(&self) -> io::Result<Exit> {
        call::with_number(&self.file, RUN, 0)?;
        Ok(Exit::of(&self.page.read()))
    }

    /// Sets what the guest gets for the last exit: `status` 0 or a negated `E_*`, and a value.
    pub fn answer(&self, status: i64, value: u64) {
        self.page.answer(status, value);
    }
}
