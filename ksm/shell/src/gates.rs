// SPDX-License-Identifier: MIT OR Apache-2.0

//! The assembler parts: gates, event entries, world switch.

use core::mem::offset_of;

use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{
    GATE_CALL, GATE_IRET, IST_DEBUG, MONITOR_ENTRY, VCPU_BASE, VCPU_GDT, VCPU_IST_STRIDE,
    VCPU_IST_TOP, VCPU_STACK_TOP, VCPU_STATE, VCPU_STRIDE, VCPU_SWITCH,
};
use cki_abi::monitor::{OP_RUN, VcpuSwitch};
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS, SEL_TSS, SEL_VCPU_NUMBER};

use crate::area::{AreaAddress, Frame, ORIGIN_CALL, ORIGIN_IRET, State, Vcpu};
use crate::{calls, cpu, events, fault, operations};

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
    bad_gate_entry = sym fault::bad_gate_entry,
);

unsafe extern "C" {
    fn world_exit(area: AreaAddress);

    static event_stubs: u8;
    static gate_call: u8;
    static gate_iret: u8;
    static frame_return: u8;
}

/// Leaves for the host, which finds `exit` and its arguments in the vCPU's switch page; returns
/// at the next OP_RUN. Not while the monitor's lock is held.
///
/// Until it returns, the area is anybody's: the host's, and that of operations of the module's, which make a
/// [`Vcpu`] of their own. `vcpu` is borrowed exclusively, so nothing here refers into it.
pub fn leave(vcpu: &mut Vcpu) {
    // SAFETY: saves what a C function preserves on this stack, which nothing uses until it returns;
    // FS, GS, CR2, CR3 and the system-call MSRs come back too.
    unsafe { world_exit(vcpu.address()) };
}

fn address(symbol: &u8) -> u64 {
    core::ptr::from_ref(symbol) as u64
}

/// The entry of `vector`.
pub fn event_stub(vector: u64) -> u64 {
    // SAFETY: only its address is taken.
    address(unsafe { &event_stubs }) + 16 * vector
}

/// Where a resumed vCPU pops its first frame.
pub fn frame_return_address() -> u64 {
    // SAFETY: only its address is taken.
    address(unsafe { &frame_return })
}

/// Whether `rip` is in GATE_CALL. At the guest's PKRS this is its beginning or its end: register moves, CALL's and
/// RET's accesses to the guest's stack. GATE_IRET can resume them, so an event may be delivered there.
pub fn in_gate_call(rip: u64) -> bool {
    // SAFETY: only their addresses are taken.
    let gate = unsafe { address(&gate_call)..address(&gate_iret) };
    gate.contains(&rip)
}

const _: () = assert!(
    size_of::<Frame>() % 16 == 0,
    "calls from event_common find an aligned stack"
);
