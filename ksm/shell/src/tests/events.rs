// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of events, in the guest and in the monitor.

use core::mem::offset_of;

use cki_abi::calls::{KSM_ENTRY_CODE_SET, KSM_HANDLER_SET, KSM_RETURN_SET, KSM_VCPU_INFO_SET};
use cki_abi::faults::{FAULT_GATE_MISUSED, FAULT_POISONED};
use cki_abi::handlers::*;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::GATE_CALL;
use cki_abi::monitor::*;
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS, SEL_USER_CS, SEL_USER_DS};
use cki_abi::vcpu::{InterruptedState, VcpuInfo};
use cki_abi::vectors::*;

use crate::area::Vcpu;
use crate::calls::call;
use crate::cpu::{DR6, DR6_NOTHING};
use crate::events::{deliver, event};
use crate::gates::{self, Exited};
use crate::testing::*;
use crate::trap::TrapFrame;

const KERNEL: u64 = 0xffff_ffff_8100_0000;
const USER: u64 = 0x40_0000;
const HANDLER: u64 = 0xffff_ffff_8200_0000;
const TIMER: u64 = 0xec;
const TRAP_FLAG: u64 = 1 << 8;
/// DR6 after a single step, as a CPU has it: BS, and what reads as 1.
const DR6_STEP: u64 = 0xffff_4ff0;

/// A vCPU with its info, and a handler for each event: `HANDLER` and its index.
fn guest() -> Vcpu {
    let mut vcpu = vcpu();
    must_call(&mut vcpu, KSM_VCPU_INFO_SET, [INFO, 0, 0, 0]);
    for handler in HANDLER_EVENT_USER..=HANDLER_DEBUG_KERNEL {
        must_call(
            &mut vcpu,
            KSM_HANDLER_SET,
            [handler, HANDLER + handler, 0, 0],
        );
    }
    vcpu
}

fn must_call(vcpu: &mut Vcpu, number: u64, arguments: [u64; 4]) {
    assert_eq!(call(vcpu, number, arguments).status, 0);
}

fn trap(vector: u64, rip: u64, user: bool) -> TrapFrame {
    let (cs, ss) = if user {
        (SEL_USER_CS, SEL_USER_DS)
    } else {
        (SEL_KERNEL_CS, SEL_KERNEL_DS)
    };
    TrapFrame {
        vector,
        rip,
        cs_and_pkrs: cs | PKRS_GUEST << 32,
        rflags: 0x246,
        rsp: 0x1234,
        ss,
        rbx: 77,
        ..TrapFrame::default()
    }
}

fn at_pkrs(pkrs: u64, vector: u64) -> TrapFrame {
    let mut trap = trap(vector, GATE_CALL + 20, false);
    trap.cs_and_pkrs = SEL_KERNEL_CS | pkrs << 32;
    trap
}

fn set_pending(flag: u64) {
    put(INFO + offset_of!(VcpuInfo, events) as u64, 1);
    put(INFO + offset_of!(VcpuInfo, interrupt_flag) as u64, flag);
}

fn flag() -> u64 {
    get(INFO + offset_of!(VcpuInfo, interrupt_flag) as u64)
}

/// RIP, CS, RFLAGS, RSP, SS and DR6 that a handler finds.
fn found(place: usize) -> [u64; 6] {
    [
        offset_of!(InterruptedState, rip),
        offset_of!(InterruptedState, cs),
        offset_of!(InterruptedState, rflags),
        offset_of!(InterruptedState, rsp),
        offset_of!(InterruptedState, ss),
        offset_of!(InterruptedState, dr6),
    ]
    .map(|field| get(INFO + (place + field) as u64))
}

#[test]
fn an_interrupt_is_the_hosts_and_the_guest_goes_on() {
    for (vector, exit) in [
        (TIMER, KSM_EXIT_INTERRUPT),
        (0x80, KSM_EXIT_INTERRUPT),
        (NMI, KSM_EXIT_NMI),
        (MACHINE_CHECK, KSM_EXIT_MACHINE_CHECK),
    ] {
        let mut vcpu = guest();
        gates::host(move |vcpu| {
            assert_eq!(vcpu.switch().exit(), (exit, [vector, 0, 0, 0, 0, 0]));
        });
        let before = trap(vector, KERNEL, false);
        let mut after = before.clone();
        event(&mut vcpu, &mut after);
        assert_eq!(after, before);
        assert_eq!(gates::turns_left(), 0, "the host had it");
    }
}

#[test]
fn what_the_host_raises_meanwhile_is_delivered_at_once() {
    let mut vcpu = guest();
    gates::host(|_| set_pending(1));
    let mut interrupted = trap(TIMER, KERNEL, false);
    event(&mut vcpu, &mut interrupted);
    assert_eq!(interrupted.rip, HANDLER + HANDLER_EVENT_KERNEL);
}

#[test]
fn user_mode_is_interrupted_whatever_the_flag_says() {
    let mut vcpu = guest();
    set_pending(0);
    let before = trap(TIMER, USER, true);
    let mut after = before.clone();
    deliver(&mut vcpu, &mut after);
    let expected = TrapFrame {
        rip: HANDLER + HANDLER_EVENT_USER,
        cs_and_pkrs: SEL_KERNEL_CS | PKRS_GUEST << 32,
        rflags: 0x202,
        ss: SEL_KERNEL_DS,
        ..before
    };
    assert_eq!(
        after, expected,
        "at the guest's rights, registers as they were"
    );
    assert_eq!(
        found(offset_of!(VcpuInfo, event)),
        [USER, SEL_USER_CS, 0x246, 0x1234, SEL_USER_DS, 0],
        "the selector without the rights above it"
    );
}

#[test]
fn a_kernel_is_interrupted_when_its_flag_allows_it_and_finds_it_cleared() {
    for (value, rip) in [
        (0, KERNEL),
        (1, HANDLER + HANDLER_EVENT_KERNEL),
        (0x80, HANDLER + HANDLER_EVENT_KERNEL),
        (0x100, KERNEL),
    ] {
        let mut vcpu = guest();
        set_pending(value);
        let mut interrupted = trap(TIMER, KERNEL, false);
        deliver(&mut vcpu, &mut interrupted);
        assert_eq!(interrupted.rip, rip, "flag {value:#x}");
        assert_eq!(flag(), value & !0xff, "only the byte is the flag");
    }
}

#[test]
fn nothing_is_delivered_without_event_info_or_handler() {
    let mut vcpu = guest();
    put(INFO + offset_of!(VcpuInfo, interrupt_flag) as u64, 1);
    let before = trap(TIMER, USER, true);
    let mut after = before.clone();
    deliver(&mut vcpu, &mut after);
    assert_eq!(after, before, "no event");
    set_pending(1);
    must_call(&mut vcpu, KSM_HANDLER_SET, [HANDLER_EVENT_USER, 0, 0, 0]);
    deliver(&mut vcpu, &mut after);
    assert_eq!((&after, flag()), (&before, 1), "it stays pending");
    let mut without = crate::testing::new_vcpu();
    deliver(&mut without, &mut after);
    assert_eq!(after, before, "no info");
}

#[test]
fn entry_code_is_not_interrupted_and_its_returns_start_anew() {
    let mut vcpu = guest();
    let (check, leave, undo) = (KERNEL + 0x10, KERNEL + 0x20, KERNEL + 0x40);
    must_call(
        &mut vcpu,
        KSM_ENTRY_CODE_SET,
        [KERNEL, KERNEL + 0x100, 0, 0],
    );
    must_call(&mut vcpu, KSM_RETURN_SET, [0, check, leave, undo]);
    for (rip, expected) in [
        (KERNEL, KERNEL),
        (check + 3, check),
        (leave, undo),
        (leave + 1, leave + 1),
    ] {
        set_pending(1);
        let before = trap(TIMER, rip, false);
        let mut after = before.clone();
        deliver(&mut vcpu, &mut after);
        assert_eq!(
            after,
            TrapFrame {
                rip: expected,
                ..before
            }
        );
        assert_eq!(flag(), 1, "it stays pending");
    }
}

#[test]
fn a_call_that_returns_can_be_interrupted_like_the_guest_itself() {
    let mut vcpu = guest();
    set_pending(1);
    let mut interrupted = trap(TIMER, GATE_CALL + 0x80, false);
    deliver(&mut vcpu, &mut interrupted);
    assert_eq!(interrupted.rip, HANDLER + HANDLER_EVENT_KERNEL);
    let [rip, ..] = found(offset_of!(VcpuInfo, event));
    assert_eq!(rip, GATE_CALL + 0x80, "GATE_IRET resumes it there");
}

#[test]
fn i8_a_trap_frame_of_the_monitors_is_never_turned_into_one_of_the_guests() {
    for pkrs in [0, 1, PKRS_GUEST ^ 1] {
        let mut vcpu = guest();
        set_pending(1);
        let end = end_of(|| deliver(&mut vcpu, &mut at_pkrs(pkrs, TIMER)));
        let expected = if pkrs == 0 {
            KSM_EXIT_MONITOR_FAULT
        } else {
            KSM_EXIT_GUEST_FAULT
        };
        assert_eq!(end.exit, expected, "PKRS {pkrs:#x}");
    }
}

#[test]
fn i7_whoever_has_rights_of_its_own_is_ended_but_the_host_gets_its_interrupt_first() {
    let mut vcpu = guest();
    gates::host(|vcpu| assert_eq!(vcpu.switch().exit().0, KSM_EXIT_INTERRUPT));
    set_pending(1);
    let end = end_of(|| event(&mut vcpu, &mut at_pkrs(4, TIMER)));
    assert_eq!(
        (end.exit, end.arguments[0]),
        (KSM_EXIT_GUEST_FAULT, FAULT_GATE_MISUSED)
    );
    assert_eq!(gates::turns_left(), 0);
    for vector in [DEBUG, DOUBLE_FAULT, GENERAL_PROTECTION] {
        let end = end_of(|| event(&mut guest(), &mut at_pkrs(4, vector)));
        assert_eq!(
            (end.exit, end.arguments[0]),
            (KSM_EXIT_GUEST_FAULT, FAULT_GATE_MISUSED)
        );
    }
}

#[test]
fn a_trap_in_a_gate_takes_the_flag_away_and_nothing_else() {
    let mut vcpu = guest();
    DR6.set(DR6_STEP);
    let mut trapped = at_pkrs(0, 1);
    trapped.rflags |= TRAP_FLAG;
    let mut expected = trapped.clone();
    expected.rflags &= !TRAP_FLAG;
    event(&mut vcpu, &mut trapped);
    assert_eq!(trapped, expected);
    assert_eq!(DR6.get(), DR6_NOTHING, "DR6 is taken");
}

#[test]
fn a_trap_in_the_guest_is_the_guests() {
    for (user, handler) in [(true, HANDLER_DEBUG_USER), (false, HANDLER_DEBUG_KERNEL)] {
        let mut vcpu = guest();
        DR6.set(DR6_STEP);
        let mut trapped = trap(1, USER, user);
        trapped.rflags |= TRAP_FLAG;
        event(&mut vcpu, &mut trapped);
        assert_eq!((trapped.rip, trapped.rflags), (HANDLER + handler, 0x202));
        let [_, _, rflags, .., dr6] = found(offset_of!(VcpuInfo, debug));
        assert_eq!((rflags & TRAP_FLAG, dr6), (TRAP_FLAG, DR6_STEP));
        must_call(&mut vcpu, KSM_HANDLER_SET, [handler, 0, 0, 0]);
        let end = end_of(|| event(&mut vcpu, &mut trap(1, USER, user)));
        assert_eq!((end.exit, end.arguments[0]), (KSM_EXIT_GUEST_FAULT, 1));
    }
}

#[test]
fn an_exception_without_handler_is_the_end_of_the_guest_and_says_what_it_was() {
    for vector in [
        0,
        INVALID_OPCODE,
        DOUBLE_FAULT,
        GENERAL_PROTECTION,
        PAGE_FAULT,
    ] {
        let mut raised = trap(vector, USER, true);
        raised.error_code = 5;
        let end = end_of(|| event(&mut guest(), &mut raised));
        let arguments = [vector, 5, USER, 0xc2, 0x1234, PKRS_GUEST];
        assert_eq!(
            end,
            Exited {
                exit: KSM_EXIT_GUEST_FAULT,
                arguments
            }
        );
    }
}

#[test]
fn a_fault_of_the_monitors_is_the_end_of_all_its_vcpus() {
    for (vector, exit) in [
        (DOUBLE_FAULT, KSM_EXIT_MONITOR_FAULT),
        (MACHINE_CHECK, KSM_EXIT_MACHINE_CHECK),
        (GENERAL_PROTECTION, KSM_EXIT_MONITOR_FAULT),
    ] {
        let mut vcpu = guest();
        let mut other = crate::testing::new_vcpu();
        // As in the middle of a call: with the lock taken, which it never gives back.
        let end = end_of(|| {
            let guard = rules().lock().expect("nobody has it");
            core::mem::forget(guard);
            event(&mut vcpu, &mut at_pkrs(0, vector));
        });
        assert_eq!((end.exit, end.arguments[0]), (exit, vector));
        let end = end_of(|| {
            call(&mut other, KSM_VCPU_INFO_SET, [INFO, 0, 0, 0]);
        });
        assert_eq!(
            (end.exit, end.arguments[0]),
            (KSM_EXIT_MONITOR_FAULT, FAULT_POISONED)
        );
    }
}

#[test]
fn whoever_has_ended_ends_again_when_it_is_resumed() {
    let mut vcpu = guest();
    for _ in 0..3 {
        gates::host(|vcpu| {
            assert_eq!(vcpu.switch().exit().0, KSM_EXIT_GUEST_FAULT);
            vcpu.switch().set_exit(KSM_EXIT_DONE, [0; 6]);
        });
    }
    let end = end_of(|| event(&mut vcpu, &mut trap(GENERAL_PROTECTION, USER, true)));
    assert_eq!(end.exit, KSM_EXIT_GUEST_FAULT);
    assert_eq!(gates::turns_left(), 0);
}

#[test]
#[should_panic(expected = "leaves with the lock")]
fn leaving_with_the_lock_does_not_go_unnoticed() {
    let mut vcpu = guest();
    gates::host(|_| {});
    let _guard = crate::access::rules(&mut vcpu);
    gates::exit(&mut vcpu);
}
