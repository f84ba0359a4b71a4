// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why the monitor ended a container, where no exception of the CPU's says so.
//!
//! The first argument of KSM_EXIT_GUEST_FAULT and KSM_EXIT_MONITOR_FAULT, and `vector` of a run page's fault, is an
//! exception's vector, or one of these.

constants! { "Faults that are no exceptions: vector of KSM_EXIT_GUEST_FAULT and KSM_EXIT_MONITOR_FAULT";
    /// Of the guest: a WRPKRS of a gate was reached otherwise than through the gate.
    FAULT_GATE_MISUSED = 0x100;
    /// Of the guest: it has no handler for what must be delivered.
    FAULT_NO_HANDLER = 0x101;
    /// Of the monitor: a panic. RIP is the line.
    FAULT_PANIC = 0x102;
    /// Of the monitor: its bookkeeping contradicts itself. The error code is the call's number, RIP its return
    /// address.
    FAULT_INCONSISTENT = 0x103;
    /// Of the monitor: it was entered on a CPU whose control registers are not as it needs them.
    FAULT_NOT_PINNED = 0x104;
    /// Of the monitor: another vCPU has ended the container, or has not come back with the lock.
    FAULT_POISONED = 0x105;
}
