// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the monitor may return to (I8, I9).

use cki_abi::keys::PKRS_GUEST;
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS, SEL_USER_CS, SEL_USER_DS, SEL_USER32_CS};
use cki_abi::vcpu::ReturnState;

use crate::refusal::Refusal;

/// RFLAGS.IF.
pub const FLAG_INTERRUPT: u64 = 1 << 9;
/// RFLAGS bit 1, which is always 1.
pub const FLAG_FIXED: u64 = 1 << 1;
/// RFLAGS.TF.
pub const FLAG_TRAP: u64 = 1 << 8;
/// RFLAGS.RF.
pub const FLAG_RESUME: u64 = 1 << 16;

/// Flags that the guest may set as it likes: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC, ID (Intel SDM
/// Vol. 1 3.4.3). TF raises #DB at the target, whose gate is privileged. What is missing: IOPL and
/// VM would give rights, VIF and VIP mean nothing here, NT makes the next IRET fault.
pub const FLAGS_FREE: u64 = 1
    | 1 << 2
    | 1 << 4
    | 1 << 6
    | 1 << 7
    | FLAG_TRAP
    | 1 << 10
    | 1 << 11
    | FLAG_RESUME
    | 1 << 18
    | 1 << 21;

/// A checked state, laid out as IRETQ pops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CheckedReturn {
    /// RIP, canonical.
    pub rip: u64,
    /// CS, and in bits 63:32 the PKRS that IRETQ restores: always the guest's.
    pub cs_and_pkrs: u64,
    /// RFLAGS with IF = 1.
    pub rflags: u64,
    /// RSP. IRETQ loads any value; a bad one faults in the guest, when it is used.
    pub rsp: u64,
    /// SS.
    pub ss: u64,
}

/// Whether bits 63 to 47 are equal (four-level paging). IRETQ to another address faults at CPL 0,
/// with PKRS = 0.
#[must_use]
pub const fn is_canonical(address: u64) -> bool {
    let upper = address >> 47;
    upper == 0 || upper == 0x1_ffff
}

/// Checks a state that the guest asks to return to.
///
/// # Errors
///
/// [`Refusal::Return`] for anything but a pair of code and stack selectors of the fixed set, flags
/// of [`FLAGS_FREE`] with IF and bit 1, and a canonical RIP (below 4 GiB for 32-bit code).
pub fn check(state: &ReturnState) -> Result<CheckedReturn, Refusal> {
    let rip_allowed = match (state.cs, state.ss) {
        // An exception at CPL 0 through an IST or from user mode leaves a null SS, which is valid
        // for 64-bit code at CPL 0 (Vol. 3A 6.14.4).
        (SEL_KERNEL_CS, SEL_KERNEL_DS | 0) | (SEL_USER_CS, SEL_USER_DS) => is_canonical(state.rip),
        (SEL_USER32_CS, SEL_USER_DS) => state.rip <= u64::from(u32::MAX),
        _ => false,
    };
    let required = FLAG_INTERRUPT | FLAG_FIXED;
    if !rip_allowed || state.rflags & !FLAGS_FREE != required {
        return Err(Refusal::Return);
    }
    Ok(CheckedReturn {
        rip: state.rip,
        cs_and_pkrs: state.cs | PKRS_GUEST << 32,
        rflags: state.rflags,
        rsp: state.rsp,
        ss: state.ss,
    })
}
