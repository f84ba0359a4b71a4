// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki/abi.h`: what monitor, guest kernel and module agree on and no launcher has to know, for C and for assembler.

use core::fmt::{self, Write};

use super::write::for_both;
use crate::description::{Group, Structure};

/// Every group of constants, in the header's order.
pub const GROUPS: &[Group] = &[
    crate::isa::GROUP,
    crate::control::GROUP,
    crate::keys::GROUP,
    crate::selectors::GROUP,
    crate::layout::GROUP,
    crate::calls::GROUP,
    crate::hypercalls::GROUP,
    crate::handlers::GROUP,
];

/// Every structure, in an order in which each one's members are defined before it.
pub const STRUCTURES: &[&Structure] = &[
    &crate::start_info::Clock::C,
    &crate::calls::BatchEntry::C,
    &crate::vcpu::ReturnState::C,
    &crate::vcpu::InterruptedState::C,
    &crate::vcpu::VcpuInfo::C,
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
    for_both(out, GROUPS, STRUCTURES)?;
    out.write_str("\n#endif /* CKI_ABI_H */\n")
}

const PROLOGUE: &str = "\
/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The binary interfaces of CKI. Generated from the Rust crate cki-abi, which
 * is the definition; do not edit. For C and for assembler.
 */
#ifndef CKI_ABI_H
#define CKI_ABI_H

#include <linux/cki_guest.h>
";
