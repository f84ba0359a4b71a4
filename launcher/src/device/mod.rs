// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/dev/cki`, and what stands in for it in tests.
//!
//! [`Container`] and [`Vcpu`] are all that the rest of the launcher sees of the host module, so
//! that loading and the vCPU's loop are tested without it. [`system`] is the real one.

mod broken_memory;
pub mod error;
pub mod exit;
#[cfg(test)]
pub(crate) mod fake;
pub mod system;
pub mod uapi;

use std::fs::File;
use std::sync::Arc;

use cki_abi::start_info::{Segment, StartInfo};

pub use error::DeviceError;
pub use exit::{Exit, Fault};

/// What `CKI_START` is given.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// What the guest finds at its start.
    pub info: Box<StartInfo>,
    /// Frames that are not Data, ascending.
    pub classes: Vec<uapi::UapiClass>,
    /// Exec frames to scan and seal.
    pub seals: Vec<uapi::Seal>,
    /// Boot page tables, those that others link to first.
    pub tables: Vec<uapi::BootTable>,
    /// The one that is the root.
    pub root_hpa: u64,
    /// Virtual address of the first instruction.
    pub entry: u64,
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
    /// [`DeviceError`]; the container is of no use after one.
    fn start(&self, request: &StartRequest) -> Result<(), DeviceError>;
    /// Raises an event bit of a vCPU.
    ///
    /// # Errors
    /// [`DeviceError`] if there is no such vCPU.
    fn raise(&self, vcpu: u32, event: u32) -> Result<(), DeviceError>;
    /// Ends the container: every run of a vCPU fails from now on.
    fn kill(&self);
}

/// A virtual processor; one thread runs it.
pub trait Vcpu: Send {
    /// Runs the guest until it needs the launcher.
    ///
    /// # Errors
    /// [`DeviceError::Ended`] after [`Container::kill`], else what the module says.
    fn run(&mut self) -> Result<Exit, DeviceError>;
    /// Sets the result that the guest gets for the last exit: `status` 0 or a negated error of the
    /// ABI, and a value.
    fn complete(&mut self, status: i64, value: u64);
}
