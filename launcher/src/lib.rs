// SPDX-License-Identifier: MIT OR Apache-2.0

//! The launcher of CKI containers: a small virtual machine monitor on `/dev/cki`.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | the host module's interface; with [`inherited`] the only `unsafe` |
//! | [`guest`] | kernel image, memory layout, boot page tables, start info: pure, then written by one function |
//! | [`virtio`] | registers by hypercall, a read-only disk, a console with named ports: pure over guest memory |
//! | [`run`] | the vCPU's loop, the streams, the session with init |
//! | [`status`] | messages for whoever started us, on a descriptor that they left [`inherited`] |
//! | [`names`] | names of the ABI's numbers, for messages |

pub mod device;
pub mod guest;
pub mod inherited;
pub mod names;
pub mod run;
pub mod status;
#[cfg(test)]
mod testing;
pub mod virtio;
