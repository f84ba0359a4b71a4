//! The assembler parts: gates, event entries, world switch.

use core::mem::offset_of;

use cki_abi::isa::{MSR_CTL, MSR_CTL_EN};
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{
    BOOT_INFO, GATE_CALL, GATE_IRET, IST_DEBUG, MONITOR_ENTRY, VCPU_BASE, VCPU_GDT,
    VCPU_IST_STRIDE, VCPU_IST_TOP, VCPU_STACK_TOP, VCPU_STATE, VCPU_STRIDE, VCPU_SWITCH,
};
use cki_abi::monitor::{MonitorBoot, OP_RUN, VcpuSwitch};
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS, SEL_TSS, SEL_VCPU_NUMBER};

use crate::area::{Area, Frame, ORIGIN_CALL, ORIGIN_IRET, State};
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
    MSR_CTL = const MSR_CTL,
    MSR_CTL_EN = const MSR_CTL_EN,
    MSR_STAR = const cpu::IA32_STAR,
    OP_RUN = const OP_RUN,
    ORIGIN_IRET = const ORIGIN_IRET,
    ORIGIN_CALL = const ORIGIN_CALL,
    OPERATION = const VCPU_SWITCH + offset_of!(VcpuSwitch, operation) as u64,
    ATTENTION = const VCPU_SWITCH + offset_of!(VcpuSwitch, attention) as u64,
    READY = const state!(ready),
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
    HOST_NMI = sym HOST_NMI,
    HOST_MACHINE_CHECK = sym HOST_MACHINE_CHECK,
    call_entry = sym calls::call_entry,
    iret_entry = sym calls::iret_entry,
    event_entry = sym events::event_entry,
    attention_entry = sym events::attention_entry,
    operation_entry = sym operations::operation_entry,
    tables_entry = sym operations::tables_entry,
    bad_gate_entry = sym fault::bad_gate_entry,
);

unsafe extern "C" {
    /// The two words of the boot structure, placed there by the linker script.
    static HOST_NMI: u64;
    static HOST_MACHINE_CHECK: u64;

    fn world_exit(area: Area);

    static event_stubs: u8;
    static window_call_start: u8;
    static window_call_end: u8;
    static window_frame_start: u8;
    static window_frame_end: u8;
    static call_tail_start: u8;
    static call_tail_end: u8;
    static frame_return: u8;
}

/// Leaves for the host, which finds `exit` and its arguments in the vCPU's switch page; returns
/// at the next OP_RUN. Not while the monitor's lock is held.
pub fn leave(area: Area) {
    // SAFETY: saves what a C function preserves on this stack, which nothing uses until it returns;
    // FS, GS, CR2, CR3 and the system-call MSRs come back too.
    unsafe { world_exit(area) };
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

/// Whether an NMI at `rip` (PKRS = 0) may leave for the host: behind the last look at `attention`.
pub fn in_window(rip: u64) -> bool {
    // SAFETY: only their addresses are taken.
    let (call, frame) = unsafe {
        (
            address(&window_call_start)..address(&window_call_end),
            address(&window_frame_start)..address(&window_frame_end),
        )
    };
    call.contains(&rip) || frame.contains(&rip)
}

/// Whether `rip` is in the end of GATE_CALL that runs at the guest's PKRS: register moves and RET, which
/// can be resumed by GATE_IRET, so that an event may be delivered there.
pub fn in_call_tail(rip: u64) -> bool {
    // SAFETY: only their addresses are taken.
    let tail = unsafe { address(&call_tail_start)..address(&call_tail_end) };
    tail.contains(&rip)
}

// As link.ld has them.
const _: () = assert!(BOOT_INFO == 0xffff_8000_0060_0000);
const _: () = assert!(offset_of!(MonitorBoot, host_nmi) == 48);
const _: () = assert!(offset_of!(MonitorBoot, host_machine_check) == 56);

const _: () = assert!(
    size_of::<Frame>() % 16 == 0,
    "calls from event_common find an aligned stack"
);
