// SPDX-License-Identifier: MIT OR Apache-2.0

//! `emulator/tests/rt/extension.h`: the CPU extension, for the assembler of its bare-metal tests.

use core::fmt::{self, Write};

use super::write::constant;
use crate::description::Group;

/// Every group of constants, in the header's order.
pub const GROUPS: &[Group] = &[crate::isa::GROUP, crate::keys::GROUP, crate::marks::GROUP];

/// Writes the whole header.
///
/// # Errors
///
/// Only those of `out`.
pub fn write(out: &mut dyn Write) -> fmt::Result {
    out.write_str(PROLOGUE)?;
    for group in GROUPS {
        writeln!(out, "\n/* ---- {} ---- */", group.title)?;
        for row in group.constants {
            constant(out, row, &format_args!("{:#x}", row.value))?;
        }
    }
    out.write_str("\n#endif /* CKI_EXTENSION_H */\n")
}

const PROLOGUE: &str = "\
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers of the CKI extension, as docs/reference/isa.md defines them, of its
 * use, and of our emulator. Generated from the Rust crate cki-abi, which has
 * the definition; do not edit. For the assembler.
 */
#ifndef CKI_EXTENSION_H
#define CKI_EXTENSION_H
";
