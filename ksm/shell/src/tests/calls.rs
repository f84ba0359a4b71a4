// SPDX-License-Identifier: MIT OR Apache-2.0

//! What calls do beside the rules, and what they come back with.

use core::mem::offset_of;

use cki_abi::calls::arguments::{FLUSH_ALL, TABLE_L1};
use cki_abi::calls::*;
use cki_abi::errors::*;
use cki_abi::faults::{FAULT_NO_HANDLER, FAULT_POISONED};
use cki_abi::handlers::*;
use cki_abi::hypercalls::HC_YIELD;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::monitor::*;
use cki_abi::selectors::*;
use cki_abi::vcpu::{ReturnState, VcpuInfo};
use cki_abi::vectors::*;

use crate::area::Vcpu;
use crate::calls::{Answer, call, iret};
use crate::cpu::{self, Did, PCIDS};
use crate::gates;
use crate::tables::default_gate;
use crate::testing::*;
use crate::trap::TrapFrame;

const HANDLER: u64 = 0xffff_ffff_8200_0000;
const DATA_PAGE: u64 = BASE | 0x63 | 1 << 63;

fn done(value: u64) -> Answer {
    Answer { status: 0, value }
}

fn refused(error: u64) -> Answer {
    Answer {
        status: error.wrapping_neg(),
        value: 0,
    }
}

/// A vCPU with its info and a handler for refused returns.
fn guest() -> Vcpu {
    let mut vcpu = vcpu();
    assert_eq!(call(&mut vcpu, KSM_VCPU_INFO_SET, [INFO, 0, 0, 0]), done(0));
    let handler = [HANDLER_IRET_REFUSED, HANDLER, 0, 0];
    assert_eq!(call(&mut vcpu, KSM_HANDLER_SET, handler), done(0));
    vcpu
}

#[test]
fn an_entry_is_set_or_refused_and_the_host_can_tell() {
    let mut vcpu = vcpu();
    vcpu.state().call_rip = 0x1234;
    assert_eq!(
        call(&mut vcpu, KSM_ENTRY_SET, [L1, DATA_PAGE, 0, 0]),
        done(0)
    );
    assert_eq!(get(L1), DATA_PAGE);
    let host_page = 0x9000_0000 | 0x63 | 1 << 63;
    assert_eq!(
        call(&mut vcpu, KSM_ENTRY_SET, [L1, host_page, 0, 0]),
        refused(E_RANGE)
    );
    assert_eq!(get(L1), DATA_PAGE, "a refusal stores nothing");
    assert_eq!(vcpu.switch().counts(), [2, 0, 1]);
}

#[test]
fn tables_are_counted_and_refusals_are_none() {
    let mut vcpu = vcpu();
    let before = vcpu.switch().tables();
    let table = L1 + 0x1000;
    let mut after = |number, arguments, answer| {
        assert_eq!(call(&mut vcpu, number, arguments), answer);
        vcpu.switch().tables() - before
    };
    let declare = [table, TABLE_L1, 0, 0];
    assert_eq!(after(KSM_TABLE_DECLARE, declare, done(0)), 1);
    assert_eq!(after(KSM_TABLE_DECLARE, declare, refused(E_TYPE)), 1);
    assert_eq!(after(KSM_ENTRY_SET, [table, DATA_PAGE, 0, 0], done(0)), 1);
    assert_eq!(after(KSM_TABLE_RELEASE, [table, 0, 0, 0], done(0)), 0);
    assert_eq!(
        after(KSM_TABLE_RELEASE, [table, 0, 0, 0], refused(E_TYPE)),
        0
    );
}

#[test]
fn before_there_are_rules_every_call_is_refused() {
    let mut vcpu = new_vcpu();
    for number in [KSM_ENTRY_SET, KSM_VERSION, KSM_FLUSH] {
        assert_eq!(call(&mut vcpu, number, [0; 4]), refused(E_STATE));
    }
}

#[test]
fn a_hypercall_is_the_hosts_to_answer() {
    let mut vcpu = guest();
    gates::host(|vcpu| {
        let exit = (KSM_EXIT_HYPERCALL, [HC_YIELD, 1, 2, 3, 4, 0]);
        assert_eq!(vcpu.switch().exit(), exit);
        vcpu.switch().set_answer((7, 8));
    });
    let outcome = call(&mut vcpu, HC_YIELD, [1, 2, 3, 4]);
    assert_eq!(
        outcome,
        Answer {
            status: 7,
            value: 8
        }
    );
    assert_eq!(vcpu.state().slow_return, 0);
    assert_eq!(vcpu.switch().counts(), [2, 0, 0], "it is no KSM call");
}

#[test]
fn a_hypercall_returns_by_a_trap_frame_when_the_guest_has_an_event_to_take() {
    for (events, flag, slow) in [(0, 1, 0), (1, 0, 0), (1, 1, 1)] {
        let mut vcpu = guest();
        gates::host(move |_| {
            put(INFO + offset_of!(VcpuInfo, events) as u64, events);
            put(INFO + offset_of!(VcpuInfo, interrupt_flag) as u64, flag);
        });
        call(&mut vcpu, HC_YIELD, [0; 4]);
        assert_eq!(vcpu.state().slow_return, slow, "{events} {flag}");
    }
}

#[test]
fn a_root_is_loaded_and_kept_for_the_way_back() {
    for pcids in [false, true] {
        let mut vcpu = vcpu();
        PCIDS.set(pcids);
        cpu::done();
        assert_eq!(call(&mut vcpu, KSM_ROOT_LOAD, [ROOT, 0, 0, 0]), done(0));
        assert_eq!(cpu::done(), [Did::LoadCr3(ROOT)]);
        let keep = if pcids { 1 << 63 } else { 0 };
        assert_eq!(vcpu.state().root, ROOT | keep);
        assert_eq!(
            call(&mut vcpu, KSM_ROOT_LOAD, [L1, 0, 0, 0]),
            refused(E_ROOT)
        );
        assert_eq!(cpu::done(), [], "a refusal loads nothing");
    }
}

#[test]
fn a_flush_flushes() {
    let mut vcpu = vcpu();
    cpu::done();
    assert_eq!(call(&mut vcpu, KSM_FLUSH, [FLUSH_ALL, 0, 0, 0]), done(0));
    assert_eq!(cpu::done(), [Did::FlushEverything]);
}

#[test]
fn handlers_get_to_the_idt_and_to_the_system_call_registers() {
    let mut vcpu = vcpu();
    let default = default_gate(PAGE_FAULT);
    assert_eq!(vcpu.idt()[PAGE_FAULT as usize], default);
    assert_eq!(
        call(&mut vcpu, KSM_HANDLER_SET, [PAGE_FAULT, HANDLER, 0, 0]),
        done(0)
    );
    assert_ne!(vcpu.idt()[PAGE_FAULT as usize], default);
    assert_eq!(
        call(&mut vcpu, KSM_HANDLER_SET, [PAGE_FAULT, 0, 0, 0]),
        done(0)
    );
    assert_eq!(
        vcpu.idt()[PAGE_FAULT as usize],
        default,
        "without a handler it is the monitor's"
    );
    cpu::done();
    let set = [HANDLER_SYSCALL, HANDLER, 0, 0];
    assert_eq!(call(&mut vcpu, KSM_HANDLER_SET, set), done(0));
    assert_eq!(cpu::done(), [Did::WriteMsr(cpu::IA32_LSTAR, HANDLER)]);
    assert_eq!(vcpu.state().syscall_msrs[0], HANDLER, "for the way back");
    // What the host takes stays the host's.
    for vector in [
        DEBUG,
        NMI,
        DOUBLE_FAULT,
        MACHINE_CHECK,
        FIRST_INTERRUPT,
        255,
    ] {
        let gate = vcpu.idt()[vector as usize];
        assert_eq!(
            call(&mut vcpu, KSM_HANDLER_SET, [vector, HANDLER, 0, 0]),
            refused(E_ARGUMENT)
        );
        assert_eq!(vcpu.idt()[vector as usize], gate);
    }
}

#[test]
fn rsp0_and_tls_get_to_the_tables() {
    let mut vcpu = vcpu();
    let rsp0 = 0xffff_c900_0000_4000;
    assert_eq!(call(&mut vcpu, KSM_STACK_SET, [rsp0, 0, 0, 0]), done(0));
    assert_eq!(vcpu.tss()[1..3], [rsp0 as u32, (rsp0 >> 32) as u32]);
    let data = 0x00cf_f300_0000_ffff;
    assert_eq!(call(&mut vcpu, KSM_TLS_SET, [1, data, 0, 0]), done(0));
    assert_eq!(vcpu.gdt()[SEL_TLS as usize / 8 + 1], data);
}

fn request(field: usize, value: u64) {
    put(INFO + (offset_of!(VcpuInfo, iret) + field) as u64, value);
}

/// A return to user mode, with every register.
fn request_user() {
    for (field, value) in [
        (offset_of!(ReturnState, rip), 0x40_0000),
        (offset_of!(ReturnState, cs), SEL_USER_CS),
        (offset_of!(ReturnState, rflags), 0x202),
        (offset_of!(ReturnState, rsp), 0x7000),
        (offset_of!(ReturnState, ss), SEL_USER_DS),
        (offset_of!(ReturnState, rax), 1),
        (offset_of!(ReturnState, rcx), 2),
        (offset_of!(ReturnState, rdx), 3),
    ] {
        request(field, value);
    }
}

#[test]
fn a_return_takes_its_registers_from_the_request() {
    let mut vcpu = guest();
    request_user();
    let mut trap = TrapFrame {
        rbx: 77,
        ..TrapFrame::default()
    };
    iret(&mut vcpu, &mut trap, 0x5000);
    let expected = TrapFrame {
        rip: 0x40_0000,
        cs_and_pkrs: SEL_USER_CS | PKRS_GUEST << 32,
        rflags: 0x202,
        rsp: 0x7000,
        ss: SEL_USER_DS,
        rax: 1,
        rcx: 2,
        rdx: 3,
        rbx: 77,
        ..TrapFrame::default()
    };
    assert_eq!(trap, expected);
    assert_eq!(vcpu.switch().counts(), [2, 1, 0]);
}

#[test]
fn an_event_takes_the_place_of_the_target_of_a_return() {
    let mut vcpu = guest();
    let set = [HANDLER_EVENT_USER, HANDLER + 8, 0, 0];
    assert_eq!(call(&mut vcpu, KSM_HANDLER_SET, set), done(0));
    request_user();
    put(INFO + offset_of!(VcpuInfo, events) as u64, 1);
    let mut trap = TrapFrame::default();
    iret(&mut vcpu, &mut trap, 0x5000);
    assert_eq!((trap.rip, trap.rsp), (HANDLER + 8, 0x7000));
    let interrupted = INFO + offset_of!(VcpuInfo, event) as u64;
    assert_eq!(get(interrupted), 0x40_0000);
}

#[test]
fn i8_a_refused_return_goes_to_its_handler_at_the_guests_rights() {
    for (field, value) in [
        (offset_of!(ReturnState, cs), SEL_USER_CS | PKRS_GUEST << 32),
        (offset_of!(ReturnState, rflags), 0x002),
        (offset_of!(ReturnState, rflags), 0x3202),
        (offset_of!(ReturnState, rip), 1 << 47),
    ] {
        let mut vcpu = guest();
        request_user();
        request(field, value);
        let mut trap = TrapFrame::default();
        iret(&mut vcpu, &mut trap, 0x5000);
        let expected = TrapFrame {
            rip: HANDLER,
            cs_and_pkrs: SEL_KERNEL_CS | PKRS_GUEST << 32,
            rflags: 0x202,
            rsp: 0x5000,
            ss: SEL_KERNEL_DS,
            rax: E_RETURN.wrapping_neg(),
            ..TrapFrame::default()
        };
        assert_eq!(trap, expected);
        assert_eq!(vcpu.switch().counts()[2], 1, "the host can tell");
    }
}

#[test]
fn a_refused_return_without_handler_ends_the_container() {
    let mut vcpu = vcpu();
    let end = end_of(|| iret(&mut vcpu, &mut TrapFrame::default(), 0x5000));
    assert_eq!(end.exit, KSM_EXIT_GUEST_FAULT);
    assert_eq!(
        end.arguments,
        [FAULT_NO_HANDLER, HANDLER_IRET_REFUSED, 0, 0, 0x5000, 0]
    );
}

#[test]
fn a_poisoned_container_ends_at_every_call_that_needs_its_rules() {
    for number in [KSM_ENTRY_SET, KSM_VERSION, KSM_FLUSH] {
        let mut vcpu = vcpu();
        crate::state::poison();
        let end = end_of(|| {
            call(&mut vcpu, number, [0; 4]);
        });
        assert_eq!(
            (end.exit, end.arguments[0]),
            (KSM_EXIT_MONITOR_FAULT, FAULT_POISONED)
        );
    }
}
