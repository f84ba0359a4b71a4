// SPDX-License-Identifier: MIT OR Apache-2.0

//! Single instructions.

use core::arch::asm;

use cki_abi::control::{CR4_PCIDE, CR4_PGE};
use cki_abi::isa::{MSR_CTL, MSR_CTL_EN};
use cki_abi::selectors::SEL_VCPU_NUMBER;
use cki_ksm_core::pinned;

use crate::area::AreaAddress;

const IA32_EFER: u32 = 0xc000_0080;
/// First of LSTAR, CSTAR and FMASK.
pub const IA32_LSTAR: u32 = 0xc000_0082;
/// DR6 when nothing has happened (Intel SDM Vol. 3A 17.2.3).
const DR6_NOTHING: u64 = 0xffff_0ff0;

/// Writes an MSR.
///
/// # Safety
///
/// It is one of the guest's own, LSTAR or CSTAR, which the module restores; the value is canonical.
pub unsafe fn write_msr(number: u32, value: u64) {
    // SAFETY: the instruction touches no memory; the caller vouches for the rest.
    unsafe {
        asm!("wrmsr", in("ecx") number, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

fn read_msr(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading EFER and CKI_CTL changes nothing.
    unsafe {
        asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high,
             options(nostack, nomem, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

fn cr4() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nostack, nomem, preserves_flags)) };
    value
}

fn cr0() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nostack, nomem, preserves_flags)) };
    value
}

/// Whether CR3 carries a PCID.
pub fn has_pcids() -> bool {
    cr4() & CR4_PCIDE != 0
}

/// The control registers are as the rules assume, and the extension is on.
pub fn check_pinned(pcids: bool) -> bool {
    pinned::check(cr0(), cr4(), read_msr(IA32_EFER), pcids).is_ok()
        && read_msr(MSR_CTL as u32) == MSR_CTL_EN
}

/// Loads CR3.
///
/// # Safety
///
/// The root is one that the rules have accepted and not released since: it has the monitor's slot (I5), so that all
/// that Rust knows stays where it is. The PCID is the container's.
pub unsafe fn load_cr3(value: u64) {
    // SAFETY: see above.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Invalidates all translations of all PCIDs: a change of CR4.PGE does (Intel SDM Vol. 3A 4.10.4.1).
pub fn flush_everything() {
    let value = cr4();
    // SAFETY: CR4 ends as it began. Global translations do not exist while the extension is on.
    unsafe {
        asm!("mov cr4, {}", in(reg) value ^ CR4_PGE, options(nostack, preserves_flags));
        asm!("mov cr4, {}", in(reg) value, options(nostack, preserves_flags));
    }
}

/// Reads and resets DR6.
pub fn take_dr6() -> u64 {
    let value;
    // SAFETY: DR6 only reports; the host's value was saved by the module.
    unsafe {
        asm!("mov {}, dr6", out(reg) value, options(nostack, nomem, preserves_flags));
        asm!("mov dr6, {}", in(reg) DR6_NOTHING, options(nostack, nomem, preserves_flags));
    }
    value
}

/// CR2.
pub fn cr2() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nostack, nomem, preserves_flags)) };
    value
}

/// The area of the vCPU that this runs on, from the GDT alone (I7). None with another GDT: in `check_entry` it is
/// still the host's, which has no such descriptor.
pub fn current_area() -> Option<AreaAddress> {
    let mut number: u64 = 0;
    let found: u8;
    // SAFETY: LSL reads a descriptor, and clears ZF and leaves the register alone if it may not.
    unsafe {
        asm!("lsl {0:e}, {2:e}", "setz {1}", inout(reg) number, out(reg_byte) found,
             in(reg) SEL_VCPU_NUMBER as u32, options(nostack, readonly));
    }
    (found != 0).then(|| AreaAddress::of(number))
}

/// Raises #UD, again and again.
pub fn stop() -> ! {
    // SAFETY: the instruction does not end.
    unsafe { asm!("2: ud2", "jmp 2b", options(nostack, nomem, noreturn)) }
}
