// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a page-table entry is.

pub use cki_abi::entry::*;

/// Whether a present entry at `level` (1 to 4) is judged as a reference to a table rather than a
/// mapping of memory. At levels 3 and 4 every one is: PS is refused there.
#[must_use]
pub const fn is_link(level: u8, value: u64) -> bool {
    value & PRESENT != 0 && (level > 2 || (level == 2 && value & PAGE_SIZE == 0))
}
