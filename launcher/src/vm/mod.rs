// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtual machine: its devices behind the guest's hypercalls, the loop of its vCPU, its console.
//!
//! The vCPU's thread runs the guest and carries out what it asks for ([`vcpu`]); another serves the
//! session; a device that may wait has a thread of its own ([`worker`]). They meet in
//! [`outside::Outside`], whose devices are in a [`table`], each behind its own lock. Knows nothing of
//! sessions; uses `virtio` and the host module.

pub mod console;
pub mod outside;
pub mod report;
pub mod table;
pub mod vcpu;
mod waker;
pub mod worker;

pub use waker::Waker;
