// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a vCPU shares with the monitor in the guest's own memory.

structure! {
    /// State to return to by GATE_IRET: the five words that IRETQ pops, and the three registers
    /// that the gate needs for itself.
    ReturnState as "return_state", size 64 {
        /// RIP: canonical; below 4 GiB for 32-bit code.
        rip: u64,
        /// CS: SEL_KERNEL_CS, SEL_USER_CS or SEL_USER32_CS; upper bits 0.
        cs: u64,
        /// RFLAGS: IF = 1, IOPL = 0, NT, VM, VIF, VIP and reserved bits 0, bit 1 set.
        rflags: u64,
        /// RSP.
        rsp: u64,
        /// SS: SEL_USER_DS for user code; SEL_KERNEL_DS or 0 for CPL 0. Upper bits 0.
        ss: u64,
        /// rax to return with.
        rax: u64,
        /// rcx to return with.
        rcx: u64,
        /// rdx to return with.
        rdx: u64,
    }
}

structure! {
    /// State that an event or #DB interrupted. RSP and all general registers are still in place.
    InterruptedState as "interrupted_state", size 64 {
        /// RIP.
        rip: u64,
        /// CS.
        cs: u64,
        /// RFLAGS.
        rflags: u64,
        /// RSP, also still in the register.
        rsp: u64,
        /// SS.
        ss: u64,
        /// #DB: DR6. Events: 0.
        dr6: u64,
        /// 0.
        reserved: [u64; 2],
    }
}

structure! {
    /// In a Data frame of the guest's, one a vCPU, named by KSM_VCPU_INFO_SET; aligned to its size.
    /// The guest writes all of it as it likes: nothing here is trusted, every word is read once.
    VcpuInfo as "vcpu_info", size 256 {
        /// The guest's interrupt flag: 0 or not 0. An event is delivered iff CPL = 3, or this is
        /// not 0 and RIP is outside the entry code. Delivery clears it. The physical IF is always 1.
        interrupt_flag: u8,
        /// 0.
        reserved: [u8; 7],
        /// Pending events, one bit each (EVENT_*). Set by the host with a locked OR, taken by the
        /// guest with XCHG. After setting interrupt_flag the guest looks here.
        events: u64,
        /// 0.
        reserved2: [u64; 6],
        /// GATE_IRET's argument, filled in by the guest.
        iret: ReturnState,
        /// Filled in by the monitor for HANDLER_EVENT_*.
        event: InterruptedState,
        /// Filled in by the monitor for HANDLER_DEBUG_*.
        debug: InterruptedState,
    }
}
