// SPDX-License-Identifier: MIT OR Apache-2.0

//! ELF notes of a guest kernel: owner "CKI", types below, descriptor little-endian u64s.

constants! { "ELF note types of a guest kernel (owner \"CKI\")";
    /// (version): ABI_VERSION that the kernel was built for.
    NOTE_ABI_VERSION = 1;
    /// (address): virtual address of startup_cki.
    NOTE_ENTRY = 2;
    /// (start, end): page-aligned physical (p_paddr) range of the image's static page tables: Pt.
    NOTE_PT_RANGE = 3;
    /// (start, end): such a range of kernel text: Exec.
    NOTE_EXEC_RANGE = 4;
    /// (start, end): such a range of constants: Ro. Optional.
    NOTE_RO_RANGE = 5;
    /// (address): virtual address that hpa 0 appears at in the guest's direct map; the loader maps
    /// all segments there. Linux: 0xffff888000000000.
    NOTE_DIRECT_MAP = 6;
}
