// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bits of a page-table entry (Intel SDM Vol. 3A 4.5, tables 4-15 to 4-20), as the monitor judges them and the
//! launcher sets them for the boot.
//!
//! C has Linux's names for them (`_PAGE_*`), so no header is made of them.

/// P: present. Without it the CPU ignores all other bits.
pub const PRESENT: u64 = 1;
/// R/W: writes allowed.
pub const WRITABLE: u64 = 1 << 1;
/// U/S: reachable from CPL 3. Effective is the AND over all levels.
pub const USER: u64 = 1 << 2;
/// PWT, one of the three bits that select a memory type.
pub const WRITE_THROUGH: u64 = 1 << 3;
/// PCD, another.
pub const CACHE_DISABLE: u64 = 1 << 4;
/// A: set by the CPU when the entry is used.
pub const ACCESSED: u64 = 1 << 5;
/// D: set by the CPU when a leaf is written through.
pub const DIRTY: u64 = 1 << 6;
/// PS at level 2: the entry is a leaf. Reserved at level 4, refused at level 3.
pub const PAGE_SIZE: u64 = 1 << 7;
/// PAT at level 1, where PS is at the others.
pub const PAT_L1: u64 = 1 << 7;
/// G: survives CR3 loads, and matches every PCID.
pub const GLOBAL: u64 = 1 << 8;
/// PAT of a 2 MiB page.
pub const PAT_LARGE: u64 = 1 << 12;
/// Protection key of a leaf, bits 59 to 62; ignored (and kept 0) in other entries.
pub const KEY: u64 = 0xf << 59;
/// XD: no instruction fetches. Effective is the OR over all levels.
pub const NO_EXECUTE: u64 = 1 << 63;
/// Host-physical address, bits 12 to 51. What exceeds the CPU's MAXPHYADDR lies in no segment.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
