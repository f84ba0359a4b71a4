// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest kernel is given at its first instruction.
//!
//! It starts at the address of its note NOTE_ENTRY, at CPL 0, PKRS = PKRS_GUEST, with
//! rdi = START_INFO (virtual), all other general registers 0 (no stack), CS = SEL_KERNEL_CS,
//! SS = SEL_KERNEL_DS, RFLAGS = 0x202, CR3 = the boot root with PCID 0. No handler is set: an
//! exception before KSM_HANDLER_SET ends the container. Events are off until KSM_VCPU_INFO_SET.
//!
//! The boot page tables are declared, and map the kernel image where it is linked and, at
//! NOTE_DIRECT_MAP, all segments, each frame with the rights of its class (kernel half only). The
//! guest may keep them, extend them, or load others and release them.

structure! {
    /// A host-physically contiguous range of the container's memory.
    Segment as "segment", size 16 {
        /// Host-physical address, a multiple of CHUNK_SIZE.
        base: u64,
        /// Bytes, a multiple of CHUNK_SIZE, not 0.
        size: u64,
    }
}

structure! {
    /// A range of frames of one class other than Data.
    ClassRange as "class_range", size 24 {
        /// Host-physical address, a multiple of FRAME_SIZE.
        base: u64,
        /// Bytes, a multiple of FRAME_SIZE, not 0. The range lies in one segment.
        size: u64,
        /// CLASS_PT, CLASS_EXEC or CLASS_RO.
        class: u32,
        /// 0.
        reserved: u32,
    }
}

structure! {
    /// At START_INFO; read-only for the guest and fixed after the start.
    StartInfo as "start_info", size 8192 {
        /// START_INFO_MAGIC.
        magic: u64,
        /// ABI_VERSION.
        abi_version: u32,
        /// vCPUs of the container, 1 to VCPUS_SUPPORTED. vCPU 0 starts.
        vcpus: u32,
        /// Entries used in `segments`: the guest's RAM, as an e820 would list it.
        segment_count: u32,
        /// Entries used in `classes`. The guest takes page tables and module text from these; the
        /// parts that image and boot tables use are at the start of their ranges.
        class_count: u32,
        /// What to add to a link-time physical address of the kernel to get its hpa (Linux:
        /// phys_base). A multiple of 2 MiB, may wrap.
        phys_base: u64,
        /// hpa of the first byte of the loaded kernel image, and
        image_hpa: u64,
        /// bytes that it occupies, bss included.
        image_size: u64,
        /// hpa of the initial ramdisk, a multiple of FRAME_SIZE; 0 if there is none.
        initrd_hpa: u64,
        /// Bytes of it.
        initrd_size: u64,
        /// hpa of the boot root (a declared L4).
        boot_root_hpa: u64,
        /// hpa of the first boot page table; they are consecutive Pt frames, and the free part of
        /// that Pt range begins after them.
        boot_tables_hpa: u64,
        /// Bytes of them.
        boot_tables_size: u64,
        /// Virtual address of hpa 0 in the direct map that the boot tables hold (NOTE_DIRECT_MAP).
        direct_map: u64,
        /// hpa of the page that `struct cki_clock` is in. The guest may map it, read-only and not
        /// executable, anywhere, user space included.
        clock_hpa: u64,
        /// Frequency of the TSC in kHz. It is invariant and the same on all vCPUs.
        tsc_khz: u64,
        /// virtio-mmio devices: HC_MMIO_* take 0 to device_count - 1.
        device_count: u32,
        /// PCIDs that KSM_ROOT_LOAD accepts: 0 to pcids - 1. 0: only PCID 0, and no ROOT_NO_FLUSH.
        pcids: u32,
        /// Size of the random seed that follows, 0 to 64 bytes.
        seed_size: u64,
        /// Random bytes from the host.
        seed: [u8; 64],
        /// 0.
        reserved2: [u64; 8],
        /// The container's memory.
        segments: [Segment; 32],
        /// What is not Data in it.
        classes: [ClassRange; 64],
        /// Command line, terminated by a zero byte.
        command_line: [u8; 2048],
        /// 0.
        padding: [u8; 3840],
    }
}

structure! {
    /// At CLOCK, and at start_info.clock_hpa. Read `sequence`, wait while it is odd, read the rest,
    /// and start again if it changed.
    Clock as "clock", size 64 {
        /// Odd while the host writes.
        sequence: u32,
        /// 0.
        reserved: u32,
        /// TSC at the moment that the times below belong to.
        tsc: u64,
        /// Wall-clock time then: seconds since 1970 UTC.
        wall_seconds: u64,
        /// Nanoseconds on top.
        wall_nanoseconds: u64,
        /// Nanoseconds since the container's start, then.
        system_nanoseconds: u64,
        /// Frequency of the TSC in kHz.
        tsc_khz: u64,
        /// How often a vCPU could have run and did not for a second or more, such as with a launcher that
        /// is stopped. It grows before the vCPU runs again, whatever `sequence` is.
        absences: u64,
        /// 0.
        reserved2: u64,
    }
}
