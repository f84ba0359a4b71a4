// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host module, and what stands in for it in tests.
//!
//! [`Container`] and [`Vcpu`] are all that the rest of the launcher sees of it, so that loading and the vCPU's loop
//! are tested without it. [`real`] is the one behind `/dev/cki`, whose calls the crate `cki-module` makes.

mod broken_memory;
pub mod error;
#[cfg(test)]
pub(crate) mod fake;
pub mod real;

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use cki_abi::start_info::{ClassRange, Segment, StartInfo};
use cki_abi::uapi::start::{BootTable, Seal};
use cki_abi::uapi::system::Info;
use cki_abi::uapi::system::modes::MODE_CKI;
use cki_session::Isolation;

pub use cki_abi::uapi::run::Fault;
pub use cki_module::Exit;
pub use error::ModuleError;

/// What a container on this machine keeps its program from.
#[must_use]
pub fn isolation(info: &Info) -> Isolation {
    match info.mode {
        MODE_CKI => Isolation::Full,
        _ => Isolation::None,
    }
}

/// What `CKI_START` is given.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// What the guest finds at its start.
    pub info: Box<StartInfo>,
    /// Frames that are not Data, ascending.
    pub classes: Vec<ClassRange>,
    /// Exec frames to scan and seal.
    pub seals: Vec<Seal>,
    /// Boot page tables, those that others link to first.
    pub tables: Vec<BootTable>,
    /// The one that is the root.
    pub root_hpa: u64,
    /// Virtual address of the first instruction.
    pub entry: u64,
}

/// A register of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Number of the device.
    pub device: u32,
    /// Place among the device's.
    pub offset: u32,
}

/// A container: memory, and the calls that any thread may make.
pub trait Container: Send + Sync {
    /// The memory, ascending by address.
    fn segments(&self) -> &[Segment];
    /// What to mmap to reach the memory: offsets run through the segments without gaps.
    fn memory(&self) -> Arc<File>;
    /// Fixes the classes, has the monitor check tables and text, makes vCPU 0 ready.
    ///
    /// # Errors
    /// [`ModuleError`]; the container is of no use after one.
    fn start(&self, request: &StartRequest) -> Result<(), ModuleError>;
    /// Raises an event bit of a vCPU.
    ///
    /// # Errors
    /// [`ModuleError`] if there is no such vCPU.
    fn raise(&self, vcpu: u32, event: u32) -> Result<(), ModuleError>;
    /// Before the start: has a write of the guest's to a register, whatever is written, signal an eventfd in the place
    /// of being an exit.
    ///
    /// # Errors
    /// [`ModuleError`].
    fn signal_on(&self, register: Register, eventfd: BorrowedFd<'_>) -> Result<(), ModuleError>;
    /// Before the start: raises an event bit of a vCPU whenever an eventfd is signalled.
    ///
    /// # Errors
    /// [`ModuleError`].
    fn raise_on(&self, eventfd: BorrowedFd<'_>, vcpu: u32, event: u32) -> Result<(), ModuleError>;
    /// Ends the container: every run of a vCPU fails from now on.
    fn kill(&self);
}

/// A virtual processor; one thread runs it.
pub trait Vcpu: Send {
    /// Runs the guest until it needs the launcher.
    ///
    /// # Errors
    /// [`ModuleError::Ended`] after [`Container::kill`], else what the module says.
    fn run(&mut self) -> Result<Exit, ModuleError>;
    /// Sets the result that the guest gets for the last exit: `status` 0 or a negated error of the
    /// ABI, and a value.
    fn complete(&mut self, status: i64, value: u64);
}
