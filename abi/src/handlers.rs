// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pseudo-handlers: guest addresses that the monitor enters, set by KSM_HANDLER_SET.
//!
//! Exceptions reach the guest from the CPU, through trap gates on RSP0 (from user mode) or the
//! current stack; IF stays 1 (I9). What the monitor itself delivers leaves the state in the
//! vCPU's `struct cki_vcpu_info`, because the monitor never writes through a guest-virtual
//! address: the handler starts at CPL 0 with every general register, RSP included, as it was.

constants! { "Pseudo-handlers of KSM_HANDLER_SET (exceptions: their vector)";
    /// An event, in user mode. State in vcpu_info.event; interrupt_flag is 0. GS base is the user's.
    HANDLER_EVENT_USER = 0x100;
    /// An event, at CPL 0 outside of the entry code with interrupt_flag 1, which is now 0.
    HANDLER_EVENT_KERNEL = 0x101;
    /// #DB in user mode. State and DR6 in vcpu_info.debug.
    HANDLER_DEBUG_USER = 0x102;
    /// #DB at CPL 0. State and DR6 in vcpu_info.debug; TF is clear in the handler.
    HANDLER_DEBUG_KERNEL = 0x103;
    /// GATE_IRET refused the state: rax = negated error, rcx and rdx 0, all else as at the gate.
    HANDLER_IRET_REFUSED = 0x104;
    /// SYSCALL from 64-bit code (IA32_LSTAR).
    HANDLER_SYSCALL = 0x105;
    /// SYSCALL from 32-bit code (IA32_CSTAR).
    HANDLER_SYSCALL32 = 0x106;
    /// One past the last pseudo-handler.
    HANDLER_END = 0x107;
}
