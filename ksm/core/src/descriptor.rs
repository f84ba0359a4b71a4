// SPDX-License-Identifier: MIT OR Apache-2.0

//! GDT and IDT of a vCPU (I7, I9): what is in them, and what a guest can have put there.

use cki_abi::isa::GATE_PRIVILEGED;
use cki_abi::layout::{
    IST_DEBUG, IST_DOUBLE_FAULT, IST_INTERRUPT, IST_MACHINE_CHECK, IST_NMI, VCPU_BASE, VCPU_STRIDE,
    VCPU_TSS,
};
use cki_abi::selectors::*;
use cki_abi::vectors::*;

use crate::event::entry_address;
use crate::refusal::Refusal;

/// Descriptors of eight bytes in a GDT.
pub const GDT_SLOTS: usize = GDT_SIZE as usize / 8;
/// Bytes of a 64-bit TSS, without I/O bitmap.
pub const TSS_SIZE: u64 = 104;

const PRESENT: u64 = 1 << 47;
const DPL3: u64 = 3 << 45;
const DPL: u64 = 3 << 45;
const CODE_OR_DATA: u64 = 1 << 44;
const CODE: u64 = 1 << 43;
const ACCESSED: u64 = 1 << 40;
const LONG: u64 = 1 << 53;
const INTERRUPT_GATE: u64 = 0xe << 40;
const TRAP_GATE: u64 = 0xf << 40;

/// Who handles a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The guest, entered by the CPU at the guest's PKRS.
    Guest,
    /// The monitor, through a privileged gate with this IST.
    Monitor {
        /// 1 to 7.
        ist: u64,
    },
    /// Nobody: the CPU does not raise it.
    Nobody,
}

/// Who handles `vector`.
///
/// The monitor takes what the CPU delivers through privileged gates only (external interrupts,
/// NMI, #MC, #DF), and #DB, because a single-step trap armed by the guest may strike inside a gate.
#[must_use]
pub const fn owner(vector: u64) -> Owner {
    match vector {
        DEBUG => Owner::Monitor { ist: IST_DEBUG },
        NMI => Owner::Monitor { ist: IST_NMI },
        DOUBLE_FAULT => Owner::Monitor {
            ist: IST_DOUBLE_FAULT,
        },
        MACHINE_CHECK => Owner::Monitor {
            ist: IST_MACHINE_CHECK,
        },
        0 | 3..=7 | 10..=14 | 16 | 17 | 19 | 21 => Owner::Guest,
        // 0x80, too: where a host has no 32-bit programs it is a vector of its devices like any other.
        FIRST_INTERRUPT..=255 => Owner::Monitor { ist: IST_INTERRUPT },
        _ => Owner::Nobody,
    }
}

/// The gate for a guest's handler; address 0 gives an absent gate.
///
/// A trap gate: an interrupt gate would clear IF in the guest (I9). No IST, not privileged: the
/// handler starts on the guest's own stack at the guest's PKRS.
///
/// # Errors
///
/// [`Refusal::Argument`] for a vector that is not the guest's, [`Refusal::Address`].
pub fn guest_gate(vector: u64, address: u64) -> Result<[u64; 2], Refusal> {
    if owner(vector) != Owner::Guest {
        return Err(Refusal::Argument);
    }
    if address == 0 {
        return Ok([0, 0]);
    }
    let dpl = match vector {
        BREAKPOINT | OVERFLOW => DPL3,
        _ => 0,
    };
    Ok(gate(entry_address(address)?, PRESENT | dpl | TRAP_GATE))
}

/// The gate for a vector of the monitor's, entered at `address` in the monitor.
///
/// # Errors
///
/// [`Refusal::Argument`] for a vector that is not the monitor's.
pub fn monitor_gate(vector: u64, address: u64) -> Result<[u64; 2], Refusal> {
    let Owner::Monitor { ist } = owner(vector) else {
        return Err(Refusal::Argument);
    };
    Ok(gate(
        address,
        PRESENT | INTERRUPT_GATE | GATE_PRIVILEGED | ist << 32,
    ))
}

/// Intel SDM Vol. 3A figure 6-8.
const fn gate(address: u64, rights: u64) -> [u64; 2] {
    let low = address & 0xffff | (address >> 16 & 0xffff) << 48;
    [low | SEL_KERNEL_CS << 16 | rights, address >> 32]
}

/// The descriptor that KSM_TLS_SET stores, and its slot in the GDT.
///
/// The accessed bit is set beforehand, because the CPU could not: the GDT is read-only at the guest's
/// PKRS. Code segments are refused: with the right selector they would be a CS of another kind (I8).
///
/// # Errors
///
/// [`Refusal::Argument`] for an index from `TLS_SLOTS` on, or a descriptor that is neither 0 nor a
/// present data segment with DPL 3.
pub fn tls(index: u64, descriptor: u64) -> Result<(usize, u64), Refusal> {
    let kind = PRESENT | DPL | CODE_OR_DATA | CODE | LONG;
    if index >= TLS_SLOTS || descriptor != 0 && descriptor & kind != PRESENT | DPL3 | CODE_OR_DATA {
        return Err(Refusal::Argument);
    }
    let accessed = if descriptor == 0 { 0 } else { ACCESSED };
    Ok((slot(SEL_TLS) + index as usize, descriptor | accessed))
}

/// RSP0: what the CPU loads on an exception in user mode, and uses at the guest's PKRS.
///
/// # Errors
///
/// [`Refusal::Argument`] unless a multiple of 16, [`Refusal::Address`].
pub fn stack(rsp0: u64) -> Result<u64, Refusal> {
    if rsp0 % 16 != 0 {
        return Err(Refusal::Argument);
    }
    entry_address(rsp0)
}

/// Where a GDT has the descriptor that a selector names.
const fn slot(selector: u64) -> usize {
    (selector / 8) as usize
}

/// A vCPU's GDT, with the selectors of `cki_abi::selectors` and no TLS. `vcpu` is below 2^16.
#[must_use]
pub const fn gdt(vcpu: u64) -> [u64; GDT_SLOTS] {
    let code64 = 0x00af_9b00_0000_ffff;
    let data = 0x00cf_9300_0000_ffff;
    // The limit is the vCPU's number: expand-up data, byte granularity.
    let number = 0x0040_9100_0000_0000 | vcpu & 0xffff;
    let tss = VCPU_BASE + vcpu * VCPU_STRIDE + VCPU_TSS;
    let mut gdt = [0; GDT_SLOTS];
    // Slot 1, Linux's 32-bit kernel code, stays empty: WRPKRS and the checks behind it mean something
    // in 64-bit code only (docs/reference/isa.md, 9).
    gdt[slot(SEL_KERNEL_CS)] = code64;
    gdt[slot(SEL_KERNEL_DS)] = data;
    gdt[slot(SEL_USER32_CS)] = 0x00cf_fb00_0000_ffff;
    gdt[slot(SEL_USER_DS)] = data | DPL3;
    gdt[slot(SEL_USER_CS)] = code64 | DPL3;
    // Available 64-bit TSS; LTR marks it busy, at PKRS = 0.
    gdt[slot(SEL_TSS)] =
        (TSS_SIZE - 1) | (tss & 0xff_ffff) << 16 | PRESENT | 0x9 << 40 | (tss >> 24 & 0xff) << 56;
    gdt[slot(SEL_TSS) + 1] = tss >> 32;
    gdt[slot(SEL_USER_CPU_NUMBER)] = number | DPL3;
    gdt[slot(SEL_VCPU_NUMBER)] = number;
    gdt
}
