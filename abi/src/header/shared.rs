// SPDX-License-Identifier: MIT OR Apache-2.0

//! `linux/cki_guest.h`: what a launcher has to know of a guest and its monitor, for C and for assembler. The other two
//! headers include it: one for programs must not need one that is not.

use core::fmt::{self, Write};

use super::write::for_both;
use crate::description::{Group, Structure};

/// Every group of constants, in the header's order.
pub const GROUPS: &[Group] = &[
    crate::version::GROUP,
    crate::limits::GROUP,
    crate::class::GROUP,
    crate::errors::GROUP,
    crate::calls::arguments::GROUP,
    crate::hypercalls::arguments::GROUP,
    crate::notes::GROUP,
    crate::monitor::GROUP,
    crate::faults::GROUP,
];

/// Every structure, in an order in which each one's members are defined before it.
pub const STRUCTURES: &[&Structure] = &[
    &crate::start_info::Segment::C,
    &crate::start_info::ClassRange::C,
    &crate::start_info::StartInfo::C,
    &crate::monitor::Refusal::C,
];

/// Writes the whole header.
///
/// # Errors
///
/// Only those of `out`.
pub fn write(out: &mut dyn Write) -> fmt::Result {
    out.write_str(PROLOGUE)?;
    for_both(out, GROUPS, STRUCTURES)?;
    out.write_str("\n#endif /* _UAPI_LINUX_CKI_GUEST_H */\n")
}

const PROLOGUE: &str = "\
/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a launcher has to know of a CKI guest and its monitor. Generated from
 * the Rust crate cki-abi, which is the definition; do not edit. For C, which C++
 * is not (a member is called class), and for assembler.
 */
#ifndef _UAPI_LINUX_CKI_GUEST_H
#define _UAPI_LINUX_CKI_GUEST_H

#ifdef __ASSEMBLER__
#define CKI_U64(x) x
#else
#define CKI_U64(x) x##ULL
#endif
";
