/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers of the CKI extension, as docs/reference/isa.md defines them, of its
 * use, and of our emulator. Generated from the Rust crate cki-abi, which has
 * the definition; do not edit. For the assembler.
 */
#ifndef CKI_EXTENSION_H
#define CKI_EXTENSION_H

/* ---- The CPU extension ---- */
/* CPUID leaf range of the extension: highest leaf in EAX, vendor text in EBX, ECX, EDX. */
#define CKI_CPUID_LEAF 0x434b4900
/* EBX of that leaf, "CkiS". A CPU without it answers with the contents of another leaf: hence the text. */
#define CKI_CPUID_VENDOR_EBX 0x53696b43
/* ECX of that leaf, "ecur". */
#define CKI_CPUID_VENDOR_ECX 0x72756365
/* EDX of that leaf, "eISA". */
#define CKI_CPUID_VENDOR_EDX 0x41534965
/* CPUID leaf with the feature bits. */
#define CKI_CPUID_FEATURES_LEAF 0x434b4901
/* In EAX of the feature leaf: the extension is present. */
#define CKI_CPUID_FEATURES_EAX_CKI 0x1
/*
 * The version of `docs/reference/isa.md` that the processor keeps, in ECX of the feature leaf; the least one that
 * the monitor runs on.
 */
#define CKI_ISA_VERSION 0x2
/* Control MSR; readable and writable at PKRS = 0 only. */
#define CKI_MSR_CTL 0x434b4900
/* In the control MSR: deprivileged mode and privileged gates are on, and events are held at PKRS = 0. */
#define CKI_MSR_CTL_EN 0x1
/* IA32_PKRS (Intel SDM Vol. 4): the supervisor protection-key rights, as WRMSR writes them. */
#define CKI_MSR_IA32_PKRS 0x6e1
/*
 * WRPKRS, first of its four bytes (0F 38 6B DA): PKRS := EAX. Not serialising; no other
 * operand, no prefix. This sequence is what the scan of executable frames refuses.
 */
#define CKI_WRPKRS_BYTE0 0xf
/* WRPKRS, second byte. */
#define CKI_WRPKRS_BYTE1 0x38
/* WRPKRS, third byte. */
#define CKI_WRPKRS_BYTE2 0x6b
/* WRPKRS, fourth byte. */
#define CKI_WRPKRS_BYTE3 0xda
/* RDPKRS, fourth byte: 0F 38 6B D2, EAX := PKRS. Harmless, not scanned for. */
#define CKI_RDPKRS_BYTE3 0xd2
/*
 * In the first quadword of a 64-bit IDT gate: the gate is privileged, its event saves PKRS in
 * bits 63:32 of the stacked CS slot and clears it. Such a gate needs an IST.
 */
#define CKI_GATE_PRIVILEGED 0x800000000

/* ---- Protection keys ---- */
/* Key of everything the guest may reach. The only key a guest supervisor entry may carry. */
#define CKI_PKEY_GUEST 0x0
/* Key of the monitor's own pages: no access for the guest. */
#define CKI_PKEY_MONITOR 0x1
/* Key of IDT, GDT and TSS: the guest (and the CPU for it) reads, only the monitor writes. */
#define CKI_PKEY_TABLES 0x2
/* PKRS while the guest runs; it is 0 while the monitor does: key 0 free, key 2 read-only, all others no access. */
#define CKI_PKRS_GUEST 0xffffffec

/* ---- Marks of the device cki-events ---- */
/* Displacement of mark 0: a NOP with a 32-bit displacement of this plus n, 0 to 255, is the mark n. */
#define CKI_MARK 0x434b4900

#endif /* CKI_EXTENSION_H */
