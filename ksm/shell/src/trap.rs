// SPDX-License-Identifier: MIT OR Apache-2.0

//! Trap frames: the registers of the guest, or of the monitor, on a stack of the area's.

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

impl TrapFrame {
    /// PKRS at the interruption.
    pub fn pkrs(&self) -> u64 {
        self.cs_and_pkrs >> 32
    }

    /// Whether it was in user mode.
    pub fn is_user(&self) -> bool {
        self.cs_and_pkrs & 3 == 3
    }
}
