// SPDX-License-Identifier: MIT OR Apache-2.0

//! Virtual addresses of slot 256, and slots.
//!
//! The slot is the same in every root of a container: one L3 table of the monitor's, which no
//! call can change (I5). All of it is supervisor memory. "Key" is the protection key of the pages.
//!
//! | from | size | what | key, guest's rights |
//! |---|---|---|---|
//! | `SLOT_BASE` | 2 MiB | never mapped | |
//! | `IMAGE_BASE` | 2 MiB | monitor image, the gates first | 1: fetch only |
//! | `START_INFO` | 2 MiB | start info, clock | 0: read |
//! | `BOOT_INFO` | 64 KiB | `struct cki_monitor_boot`, class ranges | 1: none |
//! | `VCPU_BASE` | 8 MiB | per-vCPU areas | 1: none; first three pages 2: read |
//! | `FRAME_TABLE` | 512 MiB | one word a frame | 1: none |
//! | `CHUNK_TABLE` | 1 MiB | one word a chunk | 1: none |
//! | `DIRECT_MAP` | 256 GiB | the container's frames, segment after segment | 1: none |
//!
//! Frames are numbered densely: segment 0's frames, then segment 1's, and so on, in the order of
//! the boot structure. Frame n's word is at `FRAME_TABLE + 8 n`, its contents at
//! `DIRECT_MAP + 4096 n`; a host-physical address never indexes anything.

constants! { "Address space";
    /// L4 slots below this one are user space.
    SLOT_MONITOR = 256;
    /// First address of slot 256.
    SLOT_BASE = 0xffff_8000_0000_0000;
    /// First address after slot 256.
    SLOT_END = 0xffff_8080_0000_0000;
    /// The monitor's image, linked to run here.
    IMAGE_BASE = 0xffff_8000_0020_0000;
    /// Bytes there are for it.
    IMAGE_SIZE = 0x20_0000;
    /// Gate of KSM calls and hypercalls. Entered by CALL.
    GATE_CALL = 0xffff_8000_0020_0000;
    /// Gate of IRET. Entered by JMP at CPL 0, with all registers but rax, rcx and rdx as the target
    /// is to see them, and `vcpu_info.iret` filled in. Does not return. Interrupt events that
    /// became pending are delivered instead, with the target as interrupted state.
    GATE_IRET = 0xffff_8000_0020_0200;
    /// Entry of the monitor from the host module (bridge page tables, PKRS = 0). Not a gate: it
    /// gives no rights, and a guest that jumps there faults at the first memory of the monitor's, or
    /// at LGDT.
    MONITOR_ENTRY = 0xffff_8000_0020_0400;
    /// `struct cki_start_info`, the first of the pages that the guest may read.
    START_INFO = 0xffff_8000_0040_0000;
    /// `struct cki_clock`.
    CLOCK = 0xffff_8000_0040_2000;
    /// `struct cki_monitor_boot`.
    BOOT_INFO = 0xffff_8000_0060_0000;
    /// Area of vCPU 0. Area of vCPU n: + n * VCPU_STRIDE.
    VCPU_BASE = 0xffff_8000_4000_0000;
    /// Bytes from one vCPU's area to the next.
    VCPU_STRIDE = 0x2_0000;
    /// In the area: GDT (key 2).
    VCPU_GDT = 0x0;
    /// In the area: IDT, 256 gates (key 2).
    VCPU_IDT = 0x1000;
    /// In the area: TSS (key 2). No I/O bitmap: its base is beyond the limit.
    VCPU_TSS = 0x2000;
    /// In the area: the monitor's state of the vCPU, one page.
    VCPU_STATE = 0x3000;
    /// In the area: `struct cki_vcpu_switch`, one page.
    VCPU_SWITCH = 0x4000;
    /// In the area: where batches and pokes are copied to, one page.
    VCPU_SCRATCH = 0x5000;
    /// In the area: top of the stack that calls run on; 16 KiB, an unmapped page below.
    VCPU_STACK_TOP = 0xb000;
    /// In the area: top of the first IST stack (4 KiB, an unmapped page below).
    VCPU_IST_TOP = 0x1_2000;
    /// From one IST stack's top to the next.
    VCPU_IST_STRIDE = 0x2000;
    /// IST of external interrupts.
    IST_INTERRUPT = 1;
    /// IST of NMI.
    IST_NMI = 2;
    /// IST of #MC.
    IST_MACHINE_CHECK = 3;
    /// IST of #DF.
    IST_DOUBLE_FAULT = 4;
    /// IST of #DB, a privileged gate because a guest can make it strike inside a gate.
    IST_DEBUG = 5;
    /// Number of ISTs used.
    IST_COUNT = 5;
    /// Frame words.
    FRAME_TABLE = 0xffff_8010_0000_0000;
    /// Chunk words.
    CHUNK_TABLE = 0xffff_8018_0000_0000;
    /// The container's memory, as the monitor sees it.
    DIRECT_MAP = 0xffff_8040_0000_0000;
}
