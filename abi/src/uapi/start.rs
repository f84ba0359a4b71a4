// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starting a container: its classes are fixed, and the monitor takes over.

structure! {
    /// One boot page table, to be checked and declared.
    BootTable as "boot_table", size 16 {
        /// A frame of class Pt that the launcher has filled in.
        hpa: u64,
        /// CKI_TABLE_L1 to CKI_TABLE_L4, perhaps with CKI_TABLE_USER.
        kind: u32,
        /// 0.
        reserved: u32,
    }
}

structure! {
    /// Frames of class Exec that the monitor is to scan and seal before the start.
    Seal as "seal", size 16 {
        /// The first one.
        hpa: u64,
        /// How many.
        frames: u64,
    }
}

structure! {
    /// CKI_START.
    ///
    /// After it, memory of the classes Pt, Exec and Ro can no longer be reached through mmap: existing
    /// mappings of it are removed, access raises SIGBUS. Everything is read before anything is done, so the
    /// lists may lie in the container's own memory.
    ///
    /// Errors after which nothing has happened, and the call may be made again: EFAULT, EINVAL, E2BIG, ENOMEM,
    /// ENOENT (vCPU 0 was not created). EBUSY: was called before. Errors after which the container is dead and
    /// can only be closed: EINTR (a signal), EIO (the monitor failed), ENXIO (KVM has this CPU in VMX
    /// operation), EPERM (the monitor refused a table or a sealing; `refusal_op` and the others say what and
    /// why), ESHUTDOWN (CKI_KILL).
    Start as "start", size 88 {
        /// Of this structure.
        size: u32,
        /// 0.
        flags: u32,
        /// Pointer to a `struct cki_start_info`. The module sets magic, abi_version, vcpus, segments, classes, their
        /// counts, clock_hpa, tsc_khz and boot_root_hpa itself and fills the seed if seed_size is 0; the
        /// rest is passed on.
        start_info: u64,
        /// Pointer to `struct cki_class_range`, ascending, disjoint: frames that are not Data.
        classes: u64,
        /// Pointer to `struct cki_seal`.
        seals: u64,
        /// Pointer to `struct cki_boot_table`, tables that others link to first.
        tables: u64,
        /// Entries, at most CKI_CLASS_RANGES_MAX.
        class_count: u32,
        /// Entries, at most CKI_SEALS_MAX.
        seal_count: u32,
        /// Entries, at most CKI_BOOT_TABLES_MAX.
        table_count: u32,
        /// 0.
        reserved: u32,
        /// Boot root, one of the tables of kind CKI_TABLE_L4.
        root_hpa: u64,
        /// Virtual address of the first instruction.
        entry: u64,
        /// In: 0. Out, with EPERM: CKI_OP_INIT, CKI_OP_SEAL, CKI_OP_ADOPT or CKI_OP_START.
        refusal_op: u32,
        /// In: 0. Out, with EPERM: CKI_E_*.
        refusal_error: u32,
        /// In: 0. Out, with EPERM: index in `seals` or `tables`.
        refusal_index: u32,
        /// 0.
        reserved2: u32,
    }
}

constants! { "What CKI_START takes at most", u32;
    /// Entries of `seals`.
    SEALS_MAX = 64;
    /// Entries of `tables`.
    BOOT_TABLES_MAX = 65536;
}
