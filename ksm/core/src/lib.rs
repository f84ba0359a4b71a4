// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rules of CKI's kernel security monitor (KSM).
//!
//! A [`Monitor`] decides, for one container, which page-table updates and which changes of a
//! vCPU's state the guest kernel may make, and makes those of memory. It has no hardware: memory
//! is the trait [`PhysMem`], and what has to be done to a CPU (load CR3, flush, write an IDT gate)
//! is returned as an [`Action`] for the shell to carry out.
//!
//! Used by: the shell (`cki-ksm`); tests of `cki-launcher`. May use: `cki-abi`.
//!
//! # Invariants
//!
//! Named as in `docs/understand/threat-model.md`; each check cites the one it holds.
//!
//! | | held by |
//! |---|---|
//! | I1 Range | [`segment`], [`rules`] |
//! | I2 Class | [`rules`], [`chunk`] |
//! | I3 Execute | [`rules`], [`pinned`] |
//! | I4 Types | [`table`], [`update`], [`frame`], [`epochs`], [`flush`] |
//! | I5 Root | [`root`], [`update`] |
//! | I6 No gadget | [`exec`], `poke`, [`scan`], [`edges`] |
//! | I7 Gates | the shell |
//! | I8 Returns | [`iret`] |
//! | I9 Interrupts | [`descriptor`], [`iret`]; the bounds of every loop here |
//!
//! # Locking
//!
//! Everything that changes state takes `&mut self`: the shell holds one lock per container around
//! a call. State that will have to be shared without it is already in per-frame atomic words that
//! change by compare-exchange from the value that was judged (`Frames::transition` in [`frame`]), so
//! a wrong lock is found, and the lock can be narrowed to tables without a change of format.
//! The CPU's page walker takes no lock: entries are read and written with single atomic accesses.
//!
//! # What it does not do
//!
//! No `unsafe`, no allocation, no recursion; no loop whose length the guest chooses beyond a limit
//! of the ABI; no dependency but `cki-abi` (hence also `Display` by hand).

#![no_std]
#![forbid(unsafe_code)]

mod adoption;
pub mod call;
pub mod chunk;
pub mod descriptor;
pub mod edges;
pub mod entry;
pub mod epochs;
pub mod event;
pub mod exec;
pub mod flush;
pub mod frame;
pub mod iret;
pub mod memory;
mod monitor;
pub mod pinned;
mod poke;
pub mod refusal;
pub mod root;
pub mod rules;
pub mod scan;
pub mod segment;
pub mod table;
pub mod update;

pub use call::Action;
pub use frame::{Class, Frame, Kind};
pub use memory::{PhysMem, Scratch};
pub use monitor::{Config, Monitor, Setup, Storage};
pub use refusal::Refusal;
