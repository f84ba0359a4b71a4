// SPDX-License-Identifier: MIT OR Apache-2.0

//! The assembler parts, and what they call: gates, event entries, world switch.

use core::mem::offset_of;

use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{
    GATE_CALL, GATE_IRET, IST_DEBUG, MONITOR_ENTRY, VCPU_BASE, VCPU_GDT, VCPU_IST_STRIDE,
    VCPU_IST_TOP, VCPU_STACK_TOP, VCPU_STATE, VCPU_STRIDE, VCPU_SWITCH,
};
use cki_abi::monitor::{OP_RUN, VcpuSwitch};
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS, SEL_TSS, SEL_VCPU_NUMBER};

use crate::area::State;
use crate::trap::{ENTRY_FLAGS, ORIGIN_CALL, ORIGIN_IRET, TrapFrame};
use crate::{calls, cpu, end, events, operations};

macro_rules! state {
    ($field:ident) => {
        VCPU_STATE + offset_of!(State, $field) as u64
    };
}

core::arch::global_asm!(
    include_str!("gates.s"),
    SEL_VCPU_NUMBER = const SEL_VCPU_NUMBER,
    SEL_KERNEL_CS = const SEL_KERNEL_CS,
    SEL_KERNEL_DS = const SEL_KERNEL_DS,
    SEL_TSS = const SEL_TSS,
    VCPU_BASE = const VCPU_BASE,
    VCPU_SHIFT = const VCPU_STRIDE.trailing_zeros(),
    VCPU_MASK = const -(VCPU_STRIDE as i64),
    STACK_TOP = const VCPU_STACK_TOP,
    DEBUG_STACK_TOP = const VCPU_IST_TOP + (IST_DEBUG - 1) * VCPU_IST_STRIDE,
    TSS_TYPE = const VCPU_GDT + SEL_TSS + 5,
    IRET_OFFSET = const GATE_IRET - GATE_CALL,
    ENTRY_OFFSET = const MONITOR_ENTRY - GATE_CALL,
    PKRS_GUEST = const PKRS_GUEST,
    ENTRY_FLAGS = const ENTRY_FLAGS,
    MSR_LSTAR = const cpu::IA32_LSTAR,
    OP_RUN = const OP_RUN,
    ORIGIN_IRET = const ORIGIN_IRET,
    ORIGIN_CALL = const ORIGIN_CALL,
    OPERATION = const VCPU_SWITCH + offset_of!(VcpuSwitch, operation) as u64,
    SLOW_RETURN = const state!(slow_return),
    RESUME_RSP = const state!(resume_rsp),
    HOST_RSP = const state!(host_rsp),
    BRIDGE = const state!(bridge),
    ROOT = const state!(root),
    CR2 = const state!(cr2),
    FS_BASE = const state!(fs_base),
    GS_BASE = const state!(gs_base),
    KERNEL_GS_BASE = const state!(kernel_gs_base),
    SYSCALL_MSRS = const state!(syscall_msrs),
    SELECTORS = const state!(selectors),
    GDTR = const state!(gdtr),
    IDTR = const state!(idtr),
    CALL_RIP = const state!(call_rip),
    call_entry = sym calls::call_entry,
    iret_entry = sym calls::iret_entry,
    event_entry = sym events::event_entry,
    slow_return_entry = sym events::slow_return_entry,
    operation_entry = sym operations::operation_entry,
    check_entry = sym operations::check_entry,
    bad_gate_entry = sym end::bad_gate_entry,
);

const _: () = assert!(
    size_of::<TrapFrame>() % 16 == 0,
    "calls from event_common find an aligned stack"
);
