//! What the CPU's control registers hold while a container runs (I3, I9).
//!
//! The guest cannot write them (the extension), so they hold from one world switch to the next; the
//! shell asks [`check`] when it has loaded them.

use crate::refusal::Refusal;

/// CR0: PE, MP, ET, NE, WP, AM, PG. WP makes read-only mappings read-only for CPL 0 (I2).
pub const CR0_SET: u64 = 0x8005_0033;
/// CR0: EM, TS, NW, CD. The guest's FPU never traps, its caches are on.
pub const CR0_CLEAR: u64 = 0x6000_000c;
/// CR4: PAE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, OSXSAVE, SMEP, SMAP, PKS. SMEP is half of I3.
pub const CR4_SET: u64 =
    1 << 5 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 21 | 1 << 24;
/// CR4: VME, PVI, PGE, LA57, VMXE, SMXE, CET. PGE is off so that
/// nothing of the host's matches in the container, nor the other way; CET because a shadow stack
/// makes read-only dirty pages writable.
pub const CR4_CLEAR: u64 = 1 | 1 << 1 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 23;
/// CR4: PCIDE, set exactly if the container has PCIDs.
pub const CR4_PCIDE: u64 = 1 << 17;
/// EFER: SCE, LME, LMA, NXE.
pub const EFER_SET: u64 = 1 | 1 << 8 | 1 << 10 | 1 << 11;

/// Whether control registers are as the other rules assume.
///
/// # Errors
///
/// [`Refusal::Monitor`] if not: the container must not run.
pub const fn check(cr0: u64, cr4: u64, efer: u64, pcids: bool) -> Result<(), Refusal> {
    let hold = cr0 & (CR0_SET | CR0_CLEAR) == CR0_SET
        && cr4 & (CR4_SET | CR4_CLEAR) == CR4_SET
        && (cr4 & CR4_PCIDE != 0) == pcids
        && efer & EFER_SET == EFER_SET;
    if hold { Ok(()) } else { Err(Refusal::Monitor) }
}
