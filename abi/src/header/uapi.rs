// SPDX-License-Identifier: MIT OR Apache-2.0

//! `linux/cki.h`: `/dev/cki`, for programs that use it and for the module behind it.

use core::fmt::{self, Write};

use super::write::{comment, constant, definition, ioctl};
use crate::description::{Group, Ioctl, Structure};
use crate::uapi;

/// Every group of constants, in the header's order.
pub const GROUPS: &[Group] = &[
    uapi::version::GROUP,
    uapi::system::modes::GROUP,
    uapi::system::missing::GROUP,
    uapi::start::GROUP,
    uapi::eventfd::GROUP,
    uapi::run::GROUP,
    uapi::run::exits::GROUP,
    uapi::ioctls::GROUP,
];

/// Every structure, in an order in which each one's members are defined before it.
pub const STRUCTURES: &[&Structure] = &[
    &uapi::system::Info::C,
    &uapi::container::Create::C,
    &uapi::container::Event::C,
    &uapi::eventfd::Ioeventfd::C,
    &uapi::eventfd::Irqfd::C,
    &uapi::start::BootTable::C,
    &uapi::start::Seal::C,
    &uapi::start::Start::C,
    &uapi::run::Console::C,
    &uapi::run::Mmio::C,
    &uapi::run::Shutdown::C,
    &uapi::run::Fault::C,
    &uapi::run::RunPage::C,
];

/// Every ioctl, in the order of their numbers.
pub const IOCTLS: &[Ioctl] = uapi::ioctls::IOCTLS;

/// Writes the whole header.
///
/// # Errors
///
/// Only those of `out`.
pub fn write(out: &mut dyn Write) -> fmt::Result {
    out.write_str("/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */\n")?;
    comment(out, "", uapi::OVERVIEW)?;
    out.write_str(GUARD)?;
    for group in GROUPS {
        writeln!(out, "\n/* ---- {} ---- */", group.title)?;
        for row in group.constants {
            constant(out, row, &Literal(row.value))?;
        }
    }
    out.write_str("\n/* ---- Structures ---- */\n")?;
    for structure in STRUCTURES {
        definition(out, structure)?;
    }
    out.write_str("\n/* ---- Calls ---- */\n")?;
    for row in IOCTLS {
        ioctl(out, row)?;
    }
    out.write_str("\n#endif /* _UAPI_LINUX_CKI_H */\n")
}

const GUARD: &str = "\
/* Generated from the Rust crate cki-abi, which is the definition; do not edit. */
#ifndef _UAPI_LINUX_CKI_H
#define _UAPI_LINUX_CKI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/cki_guest.h>
";

/// A number as C reads it; it has the type of the members that hold it.
struct Literal(u64);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:#x}", self.0)
        }
    }
}
