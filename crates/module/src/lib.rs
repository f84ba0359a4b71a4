// SPDX-License-Identifier: MIT OR Apache-2.0

//! Client of the host module: the calls of `/dev/cki`, safe to make, and nothing on top of them.
//!
//! Used by: `cki-launcher`, which adds what errors mean to a user, and the driver of the monitor's tests
//! (`cki-monitor-driver`), which wants them as they are. May use: `cki-abi`, which says what the calls do
//! (`cki_abi::uapi`).
//!
//! | file | what |
//! |---|---|
//! | `call` | one ioctl |
//! | `mapping` | shared memory of a descriptor |
//! | [`System`], [`Container`], [`Vcpu`] | the three kinds of descriptors |
//! | [`Exit`] | why a vCPU came back |

mod call;
mod container;
mod exit;
mod mapping;
mod system;
mod vcpu;

pub use container::Container;
pub use exit::Exit;
pub use mapping::Mapping;
pub use system::System;
pub use vcpu::{RunMapping, Vcpu};
