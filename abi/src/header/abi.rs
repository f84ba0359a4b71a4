// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki/abi.h`: what monitor, guest kernel, module and launcher agree on, for C and for assembler.

use core::fmt::{self, Write};

use super::write::{assertions, constant, definition, offsets};
use crate::description::{Group, Structure};

/// Every group of constants, in the header's order.
pub const GROUPS: &[Group] = &[
    crate::version::GROUP,
    crate::limits::GROUP,
    crate::isa::GROUP,
    crate::control::GROUP,
    crate::keys::GROUP,
    crate::class::GROUP,
    crate::selectors::GROUP,
    crate::layout::GROUP,
    crate::errors::GROUP,
    crate::calls::GROUP,
    crate::calls::arguments::GROUP,
    crate::hypercalls::GROUP,
    crate::hypercalls::arguments::GROUP,
    crate::handlers::GROUP,
    crate::notes::GROUP,
    crate::monitor::GROUP,
    crate::faults::GROUP,
];

/// Every structure, in an order in which each one's members are defined before it.
pub const STRUCTURES: &[&Structure] = &[
    &crate::start_info::Segment::C,
    &crate::start_info::ClassRange::C,
    &crate::start_info::StartInfo::C,
    &crate::start_info::Clock::C,
    &crate::calls::BatchEntry::C,
    &crate::vcpu::ReturnState::C,
    &crate::vcpu::InterruptedState::C,
    &crate::vcpu::VcpuInfo::C,
    &crate::monitor::Refusal::C,
    &crate::monitor::MonitorBoot::C,
    &crate::monitor::VcpuSwitch::C,
];

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
            constant(out, row, &Literal(row.value))?;
        }
    }
    out.write_str("\n/* ---- Sizes of the structures and offsets of their members ---- */\n")?;
    for structure in STRUCTURES {
        offsets(out, structure)?;
    }
    out.write_str("\n#ifndef __ASSEMBLER__\n\n#include <linux/types.h>\n")?;
    for structure in STRUCTURES {
        definition(out, structure)?;
        assertions(out, structure)?;
    }
    out.write_str("\n#endif /* !__ASSEMBLER__ */\n\n#endif /* CKI_ABI_H */\n")
}

const PROLOGUE: &str = "\
/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The binary interfaces of CKI. Generated from the Rust crate cki-abi, which
 * is the definition; do not edit. For C and for assembler.
 */
#ifndef CKI_ABI_H
#define CKI_ABI_H

#ifdef __ASSEMBLER__
#define CKI_U64(x) x
#else
#define CKI_U64(x) x##ULL
#endif
";

/// A number as C and the assembler both read it.
struct Literal(u64);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            write!(f, "CKI_U64({})", self.0)
        } else {
            write!(f, "CKI_U64({:#x})", self.0)
        }
    }
}
