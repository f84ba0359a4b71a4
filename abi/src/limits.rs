// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sizes and maxima.

constants! { "Limits";
    /// Bytes of a frame: 4 KiB, the unit of classes, tables and refcounts.
    FRAME_SIZE = 0x1000;
    /// Bytes of a chunk: 2 MiB, the unit of delegation. Segments are multiples of it, aligned to it.
    CHUNK_SIZE = 0x20_0000;
    /// Frames in a chunk.
    CHUNK_FRAMES = 512;
    /// Segments that a container has at most.
    SEGMENTS_MAX = 32;
    /// Class ranges at most. What no range names is Data.
    CLASS_RANGES_MAX = 64;
    /// Ranges of shared read-only frames at most.
    SHARED_RANGES_MAX = 8;
    /// Frames of all segments together at most (256 GiB: the size of the monitor's direct map).
    FRAMES_MAX = 0x400_0000;
    /// vCPUs of a container that the layout has room for.
    VCPUS_MAX = 64;
    /// vCPUs that a container may have. Module and monitor refuse more.
    VCPUS_SUPPORTED = 1;
    /// Updates in one KSM_ENTRY_BATCH at most. The list is 16 bytes an update, lies in one frame
    /// and is copied once, before any of it is looked at.
    BATCH_MAX = 32;
    /// Bytes in one KSM_TEXT_POKE at most.
    POKE_MAX = 512;
    /// Frames that one KSM_EXEC_SEAL may name.
    SEAL_MAX = 16;
    /// Returns to user mode that KSM_RETURN_SET can name: one by SYSRET, one by IRETQ.
    RETURNS_MAX = 2;
    /// Entries of a table that may still refer to tables when it is released.
    RELEASE_LINKS_MAX = 128;
    /// PCIDs that a guest can name at most, if the CPU has any: 0 to PCIDS_MAX - 1. The monitor adds the base
    /// that the host gave it, so that no guest shares a tag with the host or another container.
    PCIDS_MAX = 8;
    /// Event bits of a vCPU.
    EVENTS_MAX = 64;
    /// Inter-processor events of a vCPU: bits EVENT_IPI and on.
    IPI_EVENTS = 8;
    /// Frames for page tables that a guest kernel keeps books of at most: 512 MiB, which map FRAMES_MAX in 4 KiB
    /// pages.
    PT_FRAMES_MAX = 131072;
    /// Bytes of the command line, with its terminating zero.
    COMMAND_LINE_SIZE = 2048;
    /// virtio-mmio devices at most.
    DEVICES_MAX = 32;
}
