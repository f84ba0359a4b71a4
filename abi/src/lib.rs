// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binary interfaces of CKI, defined once.
//!
//! Whatever the monitor (KSM), the guest kernel, the host module and the launcher have to agree
//! on bit by bit is here: call numbers and registers, addresses, protection keys, classes,
//! structures, limits. [`uapi`] is what programs and the host module say to each other by
//! `/dev/cki`. Four headers are generated from these items by [`header`]: `include/linux/cki_guest.h`, what a
//! launcher has to know of a guest, and `include/cki/abi.h`, the rest, both for C and for assembler;
//! `include/linux/cki.h`, which is `uapi` in C; and `emulator/tests/rt/extension.h` with the numbers of the
//! CPU extension. A test keeps them identical to what is generated. Write
//! them again with `cargo run -p cki-abi --example headers`.
//!
//! Used by: `cki-ksm-core`, `cki-ksm`, `cki-module`, `cki-launcher`, `cki-monitor-driver`, `cki-tests`; by its headers
//! the guest's kernel, the host module and the tests of the emulator. May use: no crate of ours.
//!
//! What may use what: the macros make rows of [`description`]; each file of definitions uses the macros and at
//! most definitions before it; `header` uses all of them.
//!
//! Rust names are the C names without the prefix `CKI_` (constants) or `struct cki_` (structures).
//! Every constant is a `u64` (a `u32` in `uapi`), every structure is free of implicit padding.
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
pub mod control;
pub mod description;
pub mod entry;
pub mod errors;
pub mod faults;
pub mod handlers;
pub mod header;
pub mod hypercalls;
pub mod isa;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod marks;
pub mod monitor;
pub mod notes;
pub mod selectors;
pub mod start_info;
pub mod uapi;
pub mod vcpu;
pub mod vectors;
pub mod version;
pub mod words;
