// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the control registers hold while a container runs (I3, I9).
//!
//! The guest cannot write them (the extension), so they hold from one world switch to the next. The module sets
//! them, and the monitor refuses anything else at every entry. Each register has one value that is accepted, but
//! for bits that are named here as the host's own affair. What is not named, a CPU to come may give a meaning: it
//! has to be 0.

constants! { "Control registers while a container runs";
    /// CR0: PE, MP, ET, NE, WP, AM, PG, and nothing else. WP makes read-only mappings read-only for CPL 0
    /// (I2). EM and TS are 0: the guest's FPU never traps. NW and CD are 0: its caches are on.
    CR0_PINNED = 0x8005_0033;
    /// CR4: PKS. Protection keys of supervisor pages.
    CR4_PKS = 1 << 24;
    /// CR4: PGE. Each change of it drops all translations, global ones too (SDM Vol. 3A 4.10.4.1).
    CR4_PGE = 1 << 7;
    /// CR4: PAE, OSFXSR, OSXMMEXCPT, UMIP, FSGSBASE, OSXSAVE, SMEP, SMAP, PKS. SMEP is half of I3.
    ///
    /// What is 0 with a reason: VME and PVI would make CLI and STI of user mode depend on flags that I8
    /// keeps 0; TSD and PCE are rights of user mode that are not the container's; LA57 would make slots of
    /// another size; VMXE, SMXE, Key Locker (KL), user interrupts (UINTR), LASS, LAM_SUP and FRED change what
    /// instructions, addresses and events mean; CET because a shadow stack makes read-only dirty pages
    /// writable.
    CR4_PINNED = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 21 | CR4_PKS;
    /// CR4: PCIDE, set exactly if the container has PCIDs.
    CR4_PCIDE = 1 << 17;
    /// CR4, as the host has it: DE and PSE (no meaning here: the guest reaches no debug register, and paging is
    /// of four levels), MCE (what becomes of the machine on a machine check), PGE (global translations are
    /// neither used nor made while the extension is on), PKE (whether user mode has protection keys).
    CR4_FREE = 1 << 3 | 1 << 4 | 1 << 6 | CR4_PGE | 1 << 22;
    /// EFER: SCE, LME, LMA, NXE. What is 0 with a reason: LMSLE and UAIE change what addresses mean.
    EFER_PINNED = 1 | 1 << 8 | 1 << 10 | 1 << 11;
    /// EFER, as the host has it: TCE (which translations INVLPG drops, and INVLPG never counts as a flush),
    /// AIBRSE (speculation), SVME (KVM sets it for good; deprivileged mode refuses SVM's instructions whatever it
    /// says, and user mode outside of a virtual machine has none).
    EFER_FREE = 1 << 12 | 1 << 15 | 1 << 21;
}
