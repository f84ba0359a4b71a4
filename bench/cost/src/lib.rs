// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a processor would take for what the emulator has counted.
//!
//! Our emulator counts instructions and events (`-device cki-events`); it knows no cycles. A machine is a file of
//! constants, each with its source and the least and the most that is plausible. Cycles are instructions × cycles
//! of one + events × cycles of one, and every result is a [`Band`]: what the constants say, and the extremes over
//! all of them. Misses of caches and of the TLB are in it only as far as a constant has them; a repeated string
//! instruction is one instruction, however long it is.
//!
//! Used by: nothing yet; it is for the runner of the paper's figures. May use: no crate of ours.

mod counts;
mod error;
mod machine;
mod model;

pub use counts::Counts;
pub use error::CostError;
pub use machine::{Constant, Machine};
pub use model::Band;
