// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binary interfaces of CKI, defined once.
//!
//! Whatever the monitor (KSM), the guest kernel, the host module and the launcher have to agree
//! on bit by bit is here: call numbers and registers, addresses, protection keys, classes,
//! structures, limits. The C and assembler header `include/cki/abi.h` is generated from these
//! items by [`header::write`]; the test `the_committed_header_is_the_one_generated_from_rust`
//! keeps the two identical. Regenerate it with
//! `cargo run -p cki-abi --example header > abi/include/cki/abi.h`.
//!
//! Rust names are the C names without the prefix `CKI_` (constants) or `struct cki_` (structures).
//! Every constant is a `u64`, every structure is free of implicit padding.
//!
//! # Compatibility
//!
//! [`version::ABI_VERSION`] changes whenever a value or a layout here changes its meaning. The
//! module refuses a monitor, and the monitor a guest, of another version; nothing negotiates.
//!
//! # The two languages of addresses
//!
//! A guest's "physical" addresses *are* host-physical addresses; the name `hpa` says so in every
//! signature. The monitor never dereferences a guest-virtual address, so no call carries one,
//! except where the value is only handed to the CPU for use at the guest's own rights (RSP0,
//! handler addresses).

#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod macros;

pub mod calls;
pub mod class;
pub mod errors;
pub mod handlers;
pub mod header;
pub mod hypercalls;
pub mod isa;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod monitor;
pub mod notes;
pub mod selectors;
pub mod start_info;
pub mod vcpu;
pub mod version;
