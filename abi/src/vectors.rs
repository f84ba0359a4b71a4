// SPDX-License-Identifier: MIT OR Apache-2.0

//! Vectors of the CPU (Intel SDM Vol. 3A 6.3, table 6-1), those that a program of ours tells from others.
//!
//! C has Linux's names for them (`X86_TRAP_*`), so no header is made of them.

/// #DB, a debug exception.
pub const DEBUG: u64 = 1;
/// NMI.
pub const NMI: u64 = 2;
/// #BP, of INT3.
pub const BREAKPOINT: u64 = 3;
/// #OF, of INTO.
pub const OVERFLOW: u64 = 4;
/// #UD, an invalid opcode.
pub const INVALID_OPCODE: u64 = 6;
/// #DF, a double fault.
pub const DOUBLE_FAULT: u64 = 8;
/// #GP, a general-protection fault.
pub const GENERAL_PROTECTION: u64 = 13;
/// #PF, a page fault; its address is in CR2.
pub const PAGE_FAULT: u64 = 14;
/// #MC, a machine check.
pub const MACHINE_CHECK: u64 = 18;
/// The first that is not the CPU's own: from here on, interrupts.
pub const FIRST_INTERRUPT: u64 = 32;

/// The exceptions' mnemonics, by vector; empty where none is assigned.
pub const MNEMONICS: [&str; 22] = [
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS", "#NP", "#SS", "#GP",
    "#PF", "", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
];
