// SPDX-License-Identifier: MIT OR Apache-2.0

//! KSM calls: what the guest kernel asks of the monitor.
//!
//! # Convention
//!
//! `call` to [`crate::layout::GATE_CALL`] at CPL 0, with the guest's stack in RSP:
//!
//! | register | in | out |
//! |---|---|---|
//! | rax | call number (bits 31:0) | 0, or a negated error of [`crate::errors`] |
//! | rdi, rsi, r8, r9 | arguments 0 to 3 | 0 |
//! | rdx | ignored | second result, 0 where none is documented |
//! | rcx, r10, r11 | ignored | 0 |
//! | rbx, rbp, r12 to r15, rsp | | preserved |
//! | RFLAGS | any | status flags undefined; DF, AC, NT and TF 0; IF 1 |
//! | x87, SSE, AVX state | | preserved (the monitor uses none) |
//!
//! The gate uses only the eight bytes below RSP that `call` wrote, reads the return address at the
//! guest's rights, and needs no stack of the guest's beyond that. Bits 63:32 of rax are ignored.
//!
//! All page-table calls name a table entry by the host-physical address of its eight bytes
//! (`entry_hpa`, a multiple of 8). "Value" is an entry in the processor's own format (Intel SDM
//! Vol. 3A 4.5); a value with P = 0 is stored whatever its other bits say.

constants! { "KSM calls: number in eax, arguments in rdi, rsi, r8, r9; results in rax, rdx";
    /// () -> rdx = ABI_VERSION. Never fails.
    KSM_VERSION = 0;
    /// (table_hpa, kind): makes a Pt frame a page table. kind is TABLE_L1..TABLE_L4, with TABLE_USER
    /// for tables below slots 0 to 255 (not for L4). The frame is cleared. An L4 gets the monitor's
    /// slot 256. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_TYPE (is a table already), E_STALE, E_STATE (the
    /// host is making a table of it).
    KSM_TABLE_DECLARE = 1;
    /// (table_hpa): ends the frame's life as a table; its entries no longer count as links. The
    /// contents stay, the frame stays Pt. Errors: E_ARGUMENT, E_RANGE, E_TYPE (is no table), E_BUSY
    /// (linked or loaded, or more than RELEASE_LINKS_MAX of its entries refer to tables: clear some first).
    KSM_TABLE_RELEASE = 2;
    /// (entry_hpa, value): stores a table entry. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_EXECUTE,
    /// E_TYPE, E_ROOT, E_BITS, E_KEY, E_LIMIT.
    KSM_ENTRY_SET = 3;
    /// (entry_hpa, value) -> rdx = old value: as KSM_ENTRY_SET, atomic with respect to the A and D
    /// bits that the CPU sets.
    KSM_ENTRY_EXCHANGE = 4;
    /// (entry_hpa, expected, value) -> rdx = old value: as KSM_ENTRY_EXCHANGE, but only if the entry
    /// holds `expected`; E_CHANGED otherwise.
    KSM_ENTRY_COMPARE_EXCHANGE = 5;
    /// (entry_hpa, mask) -> rdx = old value: clears the bits of `mask` atomically. The mask holds
    /// bits of ENTRY_CLEARABLE only. Errors: E_ARGUMENT, E_RANGE, E_TYPE, E_ROOT.
    KSM_ENTRY_CLEAR = 6;
    /// (list_hpa, count) -> rdx = updates applied: `count` (1 to BATCH_MAX) times KSM_ENTRY_SET from
    /// an array of `struct cki_batch_entry` in one Data frame, 16-byte aligned. Copied once. Stops at
    /// the first refusal and returns its error; earlier updates stay.
    KSM_ENTRY_BATCH = 7;
    /// (root): loads CR3. root = host-physical address of a declared L4 | PCID (below
    /// start_info.pcids; 0 always) | ROOT_NO_FLUSH (only with PCIDs). Errors: E_ARGUMENT, E_RANGE, E_ROOT, E_LIMIT.
    KSM_ROOT_LOAD = 8;
    /// (scope, pcid): invalidates cached translations. FLUSH_PCID: those of one PCID on this vCPU.
    /// FLUSH_ALL: all of this vCPU. FLUSH_EVERYWHERE: all of every vCPU, of which there is one
    /// (VCPUS_SUPPORTED). The guest may use INVLPG by itself. Errors: E_ARGUMENT.
    KSM_FLUSH = 9;
    /// (dst_hpa, src_hpa, length): copies 1 to POKE_MAX bytes from container memory into one Exec
    /// frame. Neither range crosses a frame. In a sealed frame every combination of old and new
    /// bytes is checked. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_GADGET.
    KSM_TEXT_POKE = 10;
    /// (hpa, frames) -> rdx = frames now sealed: scans 1 to SEAL_MAX Exec frames and seals them: from
    /// now on they may be mapped executable. Sealed frames are skipped. Stops at the first refusal, and,
    /// with success, after at least one frame when the call has taken long enough: call again for
    /// the rest. Errors: E_ARGUMENT, E_RANGE, E_CLASS, E_GADGET.
    KSM_EXEC_SEAL = 11;
    /// (index, address): sets the address that an exception or pseudo-handler (HANDLER_*) enters, on
    /// this vCPU. address 0 removes it. Vectors 0, 3 to 7, 10 to 14, 16, 17, 19 and 21; 3 and 4
    /// can be raised from user mode by INT. All from 32 on are the host's. Errors: E_ARGUMENT, E_ADDRESS.
    KSM_HANDLER_SET = 12;
    /// (rsp0): sets the stack that exceptions from user mode start on, on this vCPU; a multiple of
    /// 16. Errors: E_ARGUMENT, E_ADDRESS.
    KSM_STACK_SET = 13;
    /// (index, descriptor): sets TLS descriptor 0 to TLS_SLOTS - 1 of this vCPU: 0, or a present
    /// data segment with DPL 3. The monitor sets its accessed bit (the CPU could not). Errors: E_ARGUMENT.
    KSM_TLS_SET = 14;
    /// (hpa): names this vCPU's `struct cki_vcpu_info`, in a Data frame, aligned to its size.
    /// Errors: E_ARGUMENT, E_RANGE, E_CLASS.
    KSM_VCPU_INFO_SET = 15;
    /// (start, end): the guest's entry code, as virtual addresses, on this vCPU: events are never
    /// delivered while RIP is in [start, end) at CPL 0. All 0: none. Errors: E_ARGUMENT, E_ADDRESS (also
    /// if slot 256 lies in the range).
    KSM_ENTRY_CODE_SET = 16;
    /// (index, check, return, undo): a return to user mode in the entry code that needs no call, on this
    /// vCPU; index is below RETURNS_MAX. check is an instruction that looks for pending events, return the
    /// SYSRET or IRETQ that follows it. Between them stand that look, its branch and SWAPGS, nothing
    /// else. An event that finds RIP in [check, return) has the guest go on at check; one that finds it
    /// at return, at undo, where the guest takes its SWAPGS back and goes to check. All 0: none.
    /// Errors: E_ARGUMENT (also if check > return), E_ADDRESS.
    KSM_RETURN_SET = 17;
    /// Number of KSM calls.
    KSM_CALLS = 18;
}

/// The constants that calls take as arguments.
pub mod arguments {
    constants! { "Arguments of KSM calls";
        /// KSM_TABLE_DECLARE: page table, entries map 4 KiB.
        TABLE_L1 = 1;
        /// KSM_TABLE_DECLARE: page directory, entries map 2 MiB or link L1.
        TABLE_L2 = 2;
        /// KSM_TABLE_DECLARE: page-directory-pointer table, entries link L2 (1 GiB pages are refused).
        TABLE_L3 = 3;
        /// KSM_TABLE_DECLARE: PML4, a root.
        TABLE_L4 = 4;
        /// KSM_TABLE_DECLARE: the table serves slots 0 to 255; all its entries have U = 1. Without:
        /// slots 257 to 511.
        TABLE_USER = 0x10;
        /// KSM_ENTRY_CLEAR: bits that may be cleared: RW, A, D and the software bits 9 to 11 and 52
        /// to 58. Clearing any of them never adds a right.
        ENTRY_CLEARABLE = 0x07f0_0000_0000_0e62;
        /// KSM_ROOT_LOAD: keep what is cached for the PCID.
        ROOT_NO_FLUSH = 1 << 63;
        /// KSM_FLUSH: one PCID of this vCPU.
        FLUSH_PCID = 0;
        /// KSM_FLUSH: everything on this vCPU.
        FLUSH_ALL = 1;
        /// KSM_FLUSH: everything on all vCPUs.
        FLUSH_EVERYWHERE = 2;
    }
}

structure! {
    /// One update of KSM_ENTRY_BATCH.
    BatchEntry as "batch_entry", size 16 {
        /// Host-physical address of the table entry.
        entry_hpa: u64,
        /// Value to store there.
        value: u64,
    }
}
