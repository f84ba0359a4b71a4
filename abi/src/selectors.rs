// SPDX-License-Identifier: MIT OR Apache-2.0

//! Segment selectors of a container's GDT: Linux's own values, so that entry code and user programs see nothing new.

constants! { "Selectors";
    /// CS of the guest kernel (and of the monitor): 64-bit, DPL 0.
    SEL_KERNEL_CS = 0x10;
    /// SS and data of the guest kernel: DPL 0.
    SEL_KERNEL_DS = 0x18;
    /// CS of 32-bit user programs.
    SEL_USER32_CS = 0x23;
    /// SS and data of user programs.
    SEL_USER_DS = 0x2b;
    /// CS of 64-bit user programs.
    SEL_USER_CS = 0x33;
    /// TSS (two descriptor slots).
    SEL_TSS = 0x40;
    /// First of the three TLS descriptors, as user programs name it (RPL 3).
    SEL_TLS = 0x63;
    /// Descriptor whose limit is the vCPU's number, for getcpu in user programs (RPL 3).
    SEL_USER_CPU_NUMBER = 0x7b;
    /// Descriptor whose limit is the vCPU's number, for the monitor: LSL on it finds the per-vCPU
    /// area without trusting a register of the guest's (I7). DPL 0.
    SEL_VCPU_NUMBER = 0x80;
    /// Bytes of the GDT: 17 slots of 8.
    GDT_SIZE = 17 * 8;
    /// TLS descriptors that KSM_TLS_SET can set: indexes 0 to 2.
    TLS_SLOTS = 3;
    /// IA32_STAR, upper half: SYSCALL loads CS = 0x10, SS = 0x18; SYSRET CS = 0x33 or 0x23, SS = 0x2b.
    STAR_HIGH = 0x23_0010;
    /// IA32_FMASK, what SYSCALL clears: Linux's own value without IF, which stays 1 whenever PKRS
    /// is not 0 (I9).
    SYSCALL_MASK = 0x25_7dd5;
}
