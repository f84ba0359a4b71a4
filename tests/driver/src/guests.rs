// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guests of the assembler files, by name.

use cki_abi::calls::*;
use cki_abi::errors::E_RETURN;
use cki_abi::handlers::*;
use cki_abi::hypercalls::arguments::EVENT_IPI;
use cki_abi::hypercalls::*;
use cki_abi::isa::MSR_IA32_PKRS;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{BOOT_INFO, GATE_CALL, GATE_IRET};
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS, SEL_USER_CS, SEL_USER_DS};
use cki_abi::vcpu::VcpuInfo;
use cki_abi::version::ABI_VERSION;
use core::mem::offset_of;

use crate::page::{Loop, Page, Random, Registers, Rounds, Script};
use crate::step;

core::arch::global_asm!(
    include_str!("guests.s"),
    include_str!("attack.s"),
    include_str!("counts.s"),
    include_str!("every.s"),
    include_str!("leftovers.s"),
    include_str!("random.s"),
    GATE_CALL = const GATE_CALL,
    GATE_IRET = const GATE_IRET,
    BOOT_INFO = const BOOT_INFO,
    MSR_IA32_PKRS = const MSR_IA32_PKRS,
    PKRS_GUEST = const PKRS_GUEST,
    HC_SHUTDOWN = const HC_SHUTDOWN,
    HC_YIELD = const HC_YIELD,
    HC_CONSOLE_WRITE = const HC_CONSOLE_WRITE,
    HC_TIMER_SET = const HC_TIMER_SET,
    HC_IDLE = const HC_IDLE,
    HC_MMIO_WRITE = const HC_MMIO_WRITE,
    KSM_VERSION = const KSM_VERSION,
    HC_EVENT_SEND = const HC_EVENT_SEND,
    EVENT_IPI = const EVENT_IPI,
    KSM_ENTRY_SET = const KSM_ENTRY_SET,
    KSM_ENTRY_EXCHANGE = const KSM_ENTRY_EXCHANGE,
    E_RETURN = const E_RETURN,
    KSM_HANDLER_SET = const KSM_HANDLER_SET,
    KSM_VCPU_INFO_SET = const KSM_VCPU_INFO_SET,
    KSM_ENTRY_CODE_SET = const KSM_ENTRY_CODE_SET,
    KSM_RETURN_SET = const KSM_RETURN_SET,
    HANDLER_SYSCALL = const HANDLER_SYSCALL,
    HANDLER_EVENT_USER = const HANDLER_EVENT_USER,
    HANDLER_DEBUG_USER = const HANDLER_DEBUG_USER,
    HANDLER_DEBUG_KERNEL = const HANDLER_DEBUG_KERNEL,
    HANDLER_EVENT_KERNEL = const HANDLER_EVENT_KERNEL,
    HANDLER_IRET_REFUSED = const HANDLER_IRET_REFUSED,
    ABI_VERSION = const ABI_VERSION,
    SEL_KERNEL_CS = const SEL_KERNEL_CS,
    SEL_KERNEL_DS = const SEL_KERNEL_DS,
    SEL_USER_CS = const SEL_USER_CS,
    SEL_USER_DS = const SEL_USER_DS,
    IRET = const offset_of!(VcpuInfo, iret),
    EVENT = const offset_of!(VcpuInfo, event),
    DEBUG = const offset_of!(VcpuInfo, debug),
    COUNT = const offset_of!(Page, count),
    EMPTY = const offset_of!(Page, empty),
    SCRATCH = const offset_of!(Page, scratch),
    BEGUN = const offset_of!(Loop, begun),
    SEEN = const offset_of!(Script, seen),
    STEP = const offset_of!(Script, step),
    ROUNDS = const offset_of!(Rounds, rounds),
    TAKEN = const offset_of!(Rounds, taken),
    GAIN = const offset_of!(Rounds, gain),
    WAYS_SO_FAR = const offset_of!(Rounds, ways_so_far),
    AT_LOOKS = const offset_of!(Rounds, at_looks),
    IN_USER_MODE = const offset_of!(Rounds, in_user_mode),
    WAYS = const offset_of!(Rounds, ways),
    RANDOM_NEXT = const offset_of!(Random, next),
    RANDOM_END = const offset_of!(Random, end),
    RANDOM_SEED = const offset_of!(Random, seed),
    RANDOM_FLAGS = const offset_of!(Random, flags),
    RANDOM_MAY_BE = const offset_of!(Random, may_be),
    RANDOM_GATE = const offset_of!(Random, gate),
    RANDOM_RETURNS = const offset_of!(Random, returns),
    RANDOM_EXCEPTIONS = const offset_of!(Random, exceptions),
    RANDOM_TARGET = const offset_of!(Random, target),
    RANDOM_GIVES_UP = const offset_of!(Random, gives_up),
    RANDOM_REGISTERS = const offset_of!(Random, registers),
    RANDOM_VALUES = const offset_of!(Random, values),
    YMM = const offset_of!(Registers, ymm),
    MM0 = const offset_of!(Registers, mm0),
    GS_BASE = const offset_of!(Registers, gs_base),
    MXCSR = const offset_of!(Registers, mxcsr),
    PKRU = const offset_of!(Registers, pkru),
    FCW = const offset_of!(Registers, fcw),
    IOCTL = const libc::SYS_ioctl,
    STEP_CALL = const step::CALL,
    STEP_LOAD = const step::LOAD,
    STEP_STORE = const step::STORE,
    STEP_INVALIDATE = const step::INVALIDATE,
    STEP_GO = const step::GO,
    STEP_IRET = const step::IRET,
    STEP_FLAGS = const step::FLAGS,
    STEP_OUT = const step::OUT,
    STEP_CLI = const step::CLI,
    STEP_WRMSR = const step::WRMSR,
    STEP_CR3 = const step::CR3,
    STEP_UD2 = const step::UD2,
    STEP_TRAP = const step::TRAP,
    STEP_COUNT = const step::COUNT,
);

macro_rules! guests {
    ($($name:ident $start:ident $end:ident),+ $(,)?) => {
        unsafe extern "C" {
            $( static $start: u8; static $end: u8; )+
        }

        /// The text of a guest.
        pub fn text(name: &str) -> Option<&'static [u8]> {
            match name {
                $( stringify!($name) => {
                    // SAFETY: both are labels of the assembler files in this order, in read-only data.
                    let text = unsafe {
                        let start = &raw const $start;
                        core::slice::from_raw_parts(start, (&raw const $end).offset_from(start) as usize)
                    };
                    Some(text)
                } )+
                _ => None,
            }
        }
    };
}

guests! {
    shutdown guest_shutdown guest_shutdown_end,
    version guest_version guest_version_end,
    thousand guest_thousand guest_thousand_end,
    no_ldt guest_no_ldt guest_no_ldt_end,
    loop_forever guest_loop_forever guest_loop_forever_end,
    registers guest_registers guest_registers_end,
    one_call guest_one_call guest_one_call_end,
    map_page guest_map_page guest_map_page_end,
    write_to guest_write_to guest_write_to_end,
    read_from guest_read_from guest_read_from_end,
    doorbell guest_doorbell guest_doorbell_end,
    jump_to guest_jump_to guest_jump_to_end,
    step_to guest_step_to guest_step_to_end,
    step_call guest_step_call guest_step_call_end,
    bad_iret guest_bad_iret guest_bad_iret_end,
    own_exception guest_own_exception guest_own_exception_end,
    timer guest_timer guest_timer_end,
    events guest_events guest_events_end,
    events_without_sleep guest_events_without_sleep guest_events_without_sleep_end,
    cli guest_cli guest_cli_end,
    sti guest_sti guest_sti_end,
    hlt guest_hlt guest_hlt_end,
    wrmsr guest_wrmsr guest_wrmsr_end,
    rdmsr guest_rdmsr guest_rdmsr_end,
    write_cr3 guest_write_cr3 guest_write_cr3_end,
    read_cr3 guest_read_cr3 guest_read_cr3_end,
    write_cr4 guest_write_cr4 guest_write_cr4_end,
    write_dr7 guest_write_dr7 guest_write_dr7_end,
    lidt guest_lidt guest_lidt_end,
    lgdt guest_lgdt guest_lgdt_end,
    ltr guest_ltr guest_ltr_end,
    in_port guest_in_port guest_in_port_end,
    out_port guest_out_port guest_out_port_end,
    iretq guest_iretq guest_iretq_end,
    int_80 guest_int_80 guest_int_80_end,
    int_32 guest_int_32 guest_int_32_end,
    wbinvd guest_wbinvd guest_wbinvd_end,
    sysexit guest_sysexit guest_sysexit_end,
    attack guest_attack guest_attack_end,
    count_call guest_count_call guest_count_call_end,
    count_flushes guest_count_flushes guest_count_flushes_end,
    count_return guest_count_return guest_count_return_end,
    count_iret guest_count_iret guest_count_iret_end,
    count_straight guest_count_straight guest_count_straight_end,
    count_list guest_count_list guest_count_list_end,
    every_hypercall guest_every_hypercall guest_every_hypercall_end,
    every_call guest_every_call guest_every_call_end,
    every_event guest_every_event guest_every_event_end,
    every_iret guest_every_iret guest_every_iret_end,
    every_user guest_every_user guest_every_user_end,
    alias guest_alias guest_alias_end,
    random guest_random guest_random_end,
    fpu guest_fpu guest_fpu_end,
    all_zero guest_all_zero guest_all_zero_end,
    number guest_number guest_number_end,
}
