// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the CPU's control registers hold while a container runs (I3, I9): `cki_abi::control` says what and why.
//!
//! The guest cannot write them (the extension), so they hold from one world switch to the next; the
//! shell asks [`check`] at every entry.

use cki_abi::control::{CR0_PINNED, CR4_FREE, CR4_PCIDE, CR4_PINNED, EFER_FREE, EFER_PINNED};

use crate::refusal::Refusal;

/// Whether control registers are as the other rules assume.
///
/// # Errors
///
/// [`Refusal::Monitor`] if not: the container must not run.
pub const fn check(cr0: u64, cr4: u64, efer: u64, pcids: bool) -> Result<(), Refusal> {
    let cr4_wanted = if pcids {
        CR4_PINNED | CR4_PCIDE
    } else {
        CR4_PINNED
    };
    let hold =
        cr0 == CR0_PINNED && cr4 & !CR4_FREE == cr4_wanted && efer & !EFER_FREE == EFER_PINNED;
    if hold { Ok(()) } else { Err(Refusal::Monitor) }
}
