// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trap frames: the registers of the guest, or of the monitor, on a stack of the area's.

use cki_abi::keys::PKRS_GUEST;
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS};

/// What an event entry or GATE_IRET leaves on a stack, and `trap_return` pops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    /// Vector, or [`ORIGIN_IRET`], [`ORIGIN_CALL`].
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    /// CS, and PKRS in the upper half.
    pub cs_and_pkrs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const _: () = assert!(size_of::<TrapFrame>() == 22 * 8);

/// `vector` of one that GATE_IRET made.
pub const ORIGIN_IRET: u64 = 0x200;
/// `vector` of one that a call's slow return made.
pub const ORIGIN_CALL: u64 = 0x201;

/// RFLAGS of an entry at CPL 0 by the monitor: IF, and the bit that is always 1. So DF, AC, NT and TF are 0.
pub const ENTRY_FLAGS: u64 = 0x202;

impl TrapFrame {
    /// Makes it an entry of the guest kernel at `rip`, on the stack that it names already.
    pub fn enter_guest(&mut self, rip: u64) {
        self.rip = rip;
        self.cs_and_pkrs = SEL_KERNEL_CS | PKRS_GUEST << 32;
        self.rflags = ENTRY_FLAGS;
        self.ss = SEL_KERNEL_DS;
    }

    /// PKRS at the interruption.
    pub fn pkrs(&self) -> u64 {
        self.cs_and_pkrs >> 32
    }

    /// Whether it was in user mode.
    pub fn is_user(&self) -> bool {
        self.cs_and_pkrs & 3 == 3
    }
}
