// SPDX-License-Identifier: MIT OR Apache-2.0

//! Making a container, and waking its vCPUs.

use crate::start_info::Segment;

structure! {
    /// CKI_CREATE_CONTAINER. Returns a new container descriptor (O_CLOEXEC).
    ///
    /// Errors: EINVAL (sizes, flags), EPROTO (another ABI version), ENODEV (mode is none; the kernel log
    /// and cki_info.missing say why), ENOSPC (the pool has not that much left, or only in more than
    /// CKI_SEGMENTS_MAX pieces), ENOMEM, EMFILE.
    Create as "create", size 544 {
        /// In: of this structure.
        size: u32,
        /// In: 0.
        flags: u32,
        /// In: bytes, a multiple of 2 MiB, not 0.
        memory_size: u64,
        /// In: 1 to cki_info.vcpus_max.
        vcpus: u32,
        /// In: CKI_ABI_VERSION that the caller was built for.
        abi_version: u32,
        /// Out: entries used in `segments`.
        segment_count: u32,
        /// In: 0.
        reserved: u32,
        /// Out: the memory, ascending. mmap offsets run through the segments in this order, without gaps.
        segments: [Segment; 32],
    }
}

structure! {
    /// CKI_RAISE_EVENT: sets a bit in a vCPU's events word and makes the vCPU look at it: wakes it from its idle
    /// state, or interrupts it. May be called from any thread; a bit that is set already stays set.
    ///
    /// Errors: ENOENT (no such vCPU), EINVAL.
    Event as "event", size 8 {
        /// Number of the vCPU.
        vcpu: u32,
        /// Bit number, 0 to 63 (CKI_EVENT_*).
        event: u32,
    }
}
