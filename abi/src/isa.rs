// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bits of the CPU extension that software has to know. `docs/reference/isa.md` is the manual.

constants! { "The CPU extension" ;
    /// CPUID leaf range of the extension: highest leaf in EAX, vendor text in EBX, ECX, EDX.
    CPUID_LEAF = 0x434b_4900;
    /// EBX of that leaf, "CkiS". A CPU without it answers with the contents of another leaf: hence the text.
    CPUID_VENDOR_EBX = u32::from_le_bytes(*b"CkiS") as u64;
    /// ECX of that leaf, "ecur".
    CPUID_VENDOR_ECX = u32::from_le_bytes(*b"ecur") as u64;
    /// EDX of that leaf, "eISA".
    CPUID_VENDOR_EDX = u32::from_le_bytes(*b"eISA") as u64;
    /// CPUID leaf with the feature bits.
    CPUID_FEATURES_LEAF = 0x434b_4901;
    /// In EAX of the feature leaf: the extension is present.
    CPUID_FEATURES_EAX_CKI = 1;
    /// The version of `docs/reference/isa.md` that the processor keeps, in ECX of the feature leaf; the least one that
    /// the monitor runs on.
    ISA_VERSION = 2;
    /// Control MSR; readable and writable at PKRS = 0 only.
    MSR_CTL = 0x434b_4900;
    /// In the control MSR: deprivileged mode and privileged gates are on, and events are held at PKRS = 0.
    MSR_CTL_EN = 1;
    /// IA32_PKRS (Intel SDM Vol. 4): the supervisor protection-key rights, as WRMSR writes them.
    MSR_IA32_PKRS = 0x6e1;
    /// WRPKRS, first of its four bytes (0F 38 6B DA): PKRS := EAX. Not serialising; no other
    /// operand, no prefix. This sequence is what the scan of executable frames refuses.
    WRPKRS_BYTE0 = 0x0f;
    /// WRPKRS, second byte.
    WRPKRS_BYTE1 = 0x38;
    /// WRPKRS, third byte.
    WRPKRS_BYTE2 = 0x6b;
    /// WRPKRS, fourth byte.
    WRPKRS_BYTE3 = 0xda;
    /// RDPKRS, fourth byte: 0F 38 6B D2, EAX := PKRS. Harmless, not scanned for.
    RDPKRS_BYTE3 = 0xd2;
    /// In the first quadword of a 64-bit IDT gate: the gate is privileged, its event saves PKRS in
    /// bits 63:32 of the stacked CS slot and clears it. Such a gate needs an IST.
    GATE_PRIVILEGED = 1 << 35;
}

/// The byte sequence that no executable frame may contain (invariant I6).
pub const WRPKRS: [u8; 4] = [
    WRPKRS_BYTE0 as u8,
    WRPKRS_BYTE1 as u8,
    WRPKRS_BYTE2 as u8,
    WRPKRS_BYTE3 as u8,
];
