// SPDX-License-Identifier: MIT OR Apache-2.0

//! Between host module and monitor: how one is started and what they hand each other.
//!
//! The module is trusted by the monitor; the checks that the monitor makes of these are there to
//! find mistakes. The guest sees none of it (key 1).

use crate::start_info::{ClassRange, Segment};

constants! { "Module and monitor: operations and exits in struct cki_vcpu_switch";
    /// Operation -> value = frames left: check BOOT_INFO and set up some of the frame table. On vCPU 0,
    /// before any other, again and again until nothing is left. Errors: E_ARGUMENT (also for more vCPUs than
    /// VCPUS_SUPPORTED), E_LIMIT, E_STATE.
    OP_INIT = 1;
    /// Operation (hpa, frames) -> value = frames now sealed: as KSM_EXEC_SEAL, for the image that was
    /// loaded.
    OP_SEAL = 2;
    /// Operation (hpa, kind) -> value = what is left of it: as KSM_TABLE_DECLARE for a boot page table, but its
    /// contents stay and are checked like 512 updates, some at a time: again and again until nothing is left.
    /// Tables linked by others come first. Errors: also those of KSM_ENTRY_SET.
    OP_ADOPT = 3;
    /// Operation (root, rip, rsp, rdi): makes the vCPU ready to start there at CPL 0.
    OP_START = 4;
    /// Operation: run the guest until the next exit.
    OP_RUN = 5;
    /// Exit: the operation is done; `status` has the result.
    KSM_EXIT_DONE = 0;
    /// Exit: hypercall; number in `exit_arguments[0]`, arguments in [1..4]. `status` and `value`
    /// become rax and rdx at the next OP_RUN.
    KSM_EXIT_HYPERCALL = 1;
    /// Exit: physical interrupt, vector in `exit_arguments[0]`; the host handles it.
    KSM_EXIT_INTERRUPT = 2;
    /// Exit: NMI.
    KSM_EXIT_NMI = 3;
    /// Exit: machine check. If it struck the monitor itself (`exit_arguments[1]` is 1), the container is dead.
    KSM_EXIT_MACHINE_CHECK = 4;
    /// Exit: the guest cannot go on: an exception without a handler, #DF, or FAULT_*. Vector, error code,
    /// RIP, CR2, RSP in `exit_arguments`.
    KSM_EXIT_GUEST_FAULT = 5;
    /// Exit: the monitor found itself inconsistent or faulted; the container is dead. Vector or FAULT_*,
    /// error code, RIP, CR2 in `exit_arguments`.
    KSM_EXIT_MONITOR_FAULT = 6;
}

structure! {
    /// The last call that the monitor refused, for the host to print when a container dies.
    Refusal as "refusal", size 64 {
        /// Refusals so far.
        count: u64,
        /// Call number.
        call: u64,
        /// Its arguments.
        arguments: [u64; 4],
        /// Error, positive.
        error: u64,
        /// Return address of the call.
        rip: u64,
    }
}

structure! {
    /// At BOOT_INFO; the module writes it before OP_INIT.
    MonitorBoot as "monitor_boot", size 4096 {
        /// MONITOR_BOOT_MAGIC.
        magic: u64,
        /// ABI_VERSION.
        abi_version: u32,
        /// vCPUs, 1 to VCPUS_SUPPORTED.
        vcpus: u32,
        /// Entries used in `segments`, 1 to SEGMENTS_MAX.
        segment_count: u32,
        /// Entries used in `classes`.
        class_count: u32,
        /// Entries used in `shared`.
        shared_count: u32,
        /// First hardware PCID of this container.
        pcid_base: u32,
        /// The L4 entry of slot 256: hpa of the monitor's L3 table, with P, RW, A set and U, NX clear.
        slot_entry: u64,
        /// Consecutive hardware PCIDs that are its own, 0 to PCIDS_MAX. 0: CR4.PCIDE is 0.
        pcids: u32,
        /// 0.
        reserved: u32,
        /// 0.
        reserved2: [u64; 2],
        /// The container's memory, ascending, disjoint.
        segments: [Segment; 32],
        /// Frames that are not Data, ascending, disjoint.
        classes: [ClassRange; 64],
        /// Frames outside of the segments that the guest may map read-only and not executable.
        shared: [Segment; 8],
        /// 0.
        padding: [u8; 1856],
    }
}

structure! {
    /// At VCPU_SWITCH of each vCPU's area.
    VcpuSwitch as "vcpu_switch", size 4096 {
        /// OP_*, from the module.
        operation: u64,
        /// Its arguments.
        arguments: [u64; 4],
        /// Result: 0 or a negated error. With a hypercall: the result that the module gives.
        status: u64,
        /// Second result, likewise.
        value: u64,
        /// KSM_EXIT_*, from the monitor.
        exit: u64,
        /// What goes with it.
        exit_arguments: [u64; 6],
        /// hpa of the vCPU's `struct cki_vcpu_info`; 0 before KSM_VCPU_INFO_SET.
        vcpu_info_hpa: u64,
        /// 0.
        reserved: u64,
        /// Last refusal.
        refusal: Refusal,
        /// Calls of GATE_CALL, without hypercalls.
        calls: u64,
        /// Returns by GATE_IRET.
        returns: u64,
        /// Frames that became page tables on this vCPU, without those that ceased to be on it: modulo 2^64, as another
        /// may have declared what this one releases.
        tables: u64,
        /// 0.
        padding: [u8; 3880],
    }
}
