// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the CPU delivers to the monitor, and what the monitor delivers to the guest.

use cki_abi::faults::FAULT_GATE_MISUSED;
use cki_abi::handlers::*;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::monitor::*;
use cki_abi::vectors::{DEBUG, FIRST_INTERRUPT, MACHINE_CHECK, NMI};
use cki_ksm_core::Refusal;
use cki_ksm_core::event::Delivery;
use cki_ksm_core::iret::FLAG_TRAP;

use crate::area::{AreaAddress, Vcpu};
use crate::info::Place;
use crate::trap::TrapFrame;
use crate::{cpu, end, gates};

/// A privileged event, on its IST. Interrupts, NMI and #MC are held back while the monitor runs, so they
/// have interrupted the guest; a #MC that an instruction of the monitor's raised is the exception.
///
/// # Safety
///
/// From the event entries, with the area of the vCPU that this runs on.
pub unsafe extern "C" fn event_entry(area: AreaAddress, trap: &mut TrapFrame) {
    // SAFETY: at the guest's PKRS no code of ours was at work. At PKRS 0 it is a trap in a gate, which has not
    // entered Rust yet, or the code that it has struck is not returned to.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    event(&mut vcpu, trap);
}

/// Has everybody do what an event asks for; then `trap` is what to return to.
pub fn event(vcpu: &mut Vcpu, trap: &mut TrapFrame) {
    match trap.vector {
        _ if trap.pkrs() == 0 => in_monitor(vcpu, trap),
        FIRST_INTERRUPT..=255 => exit_for_event(vcpu, trap, KSM_EXIT_INTERRUPT),
        NMI => exit_for_event(vcpu, trap, KSM_EXIT_NMI),
        MACHINE_CHECK => exit_for_event(vcpu, trap, KSM_EXIT_MACHINE_CHECK),
        _ if is_misused(trap) => {}
        DEBUG => debug(vcpu, trap),
        _ => end::by_fault(vcpu, trap),
    }
    // Only now: the host has to get its interrupt, or its APIC delivers no other.
    if is_misused(trap) {
        let arguments = [
            FAULT_GATE_MISUSED,
            trap.vector,
            trap.rip,
            cpu::cr2(),
            trap.rsp,
            trap.pkrs(),
        ];
        end::end(vcpu, KSM_EXIT_GUEST_FAULT, arguments);
    }
}

/// An event at PKRS = 0: the trap of a gate that was entered with TF set, or the end of the container.
fn in_monitor(vcpu: &mut Vcpu, trap: &mut TrapFrame) {
    match trap.vector {
        DEBUG => {
            cpu::take_dr6();
            trap.rflags &= !FLAG_TRAP;
        }
        // What the monitor was doing is lost, and with it the container. The host has its machine check.
        MACHINE_CHECK => end::end(vcpu, KSM_EXIT_MACHINE_CHECK, [MACHINE_CHECK, 1, 0, 0, 0, 0]),
        _ => end::by_fault(vcpu, trap),
    }
}

/// I7: a WRPKRS reached by a jump can give PKRS a third value for as long as it takes to the comparison
/// behind it. Whoever is met there is not resumed.
fn is_misused(trap: &TrapFrame) -> bool {
    trap.pkrs() != 0 && trap.pkrs() != PKRS_GUEST
}

/// Has the host handle the event, then goes on.
fn exit_for_event(vcpu: &mut Vcpu, trap: &mut TrapFrame, reason: u64) {
    vcpu.switch().set_exit(reason, [trap.vector, 0, 0, 0, 0, 0]);
    gates::exit(vcpu);
    if !is_misused(trap) {
        deliver(vcpu, trap);
    }
}

/// A call returns to a guest that has an event to take.
///
/// # Safety
///
/// From the end of a call, with the area of the vCPU that this runs on.
pub unsafe extern "C" fn slow_return_entry(area: AreaAddress, trap: &mut TrapFrame) {
    // SAFETY: the call's own is gone.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    vcpu.state().slow_return = 0;
    deliver(&mut vcpu, trap);
}

/// #DB in the guest. DR7 is 0 and INT1 is refused, so it is TF.
fn debug(vcpu: &mut Vcpu, trap: &mut TrapFrame) {
    let dr6 = cpu::take_dr6();
    let handler = if trap.is_user() {
        HANDLER_DEBUG_USER
    } else {
        HANDLER_DEBUG_KERNEL
    };
    if enter(vcpu, trap, handler, Place::Debug, dr6).is_err() {
        end::by_fault(vcpu, trap);
    }
}

/// Whether the guest has an event pending and its flag set.
pub fn pending(vcpu: &Vcpu) -> bool {
    vcpu.info()
        .is_ok_and(|info| info.has_events() && info.flag())
}

/// Delivers pending events to the guest that `trap` returns to, if it takes them there. One that returns
/// to anything but the guest would become one with its address and the monitor's rights: it ends the container.
pub fn deliver(vcpu: &mut Vcpu, trap: &mut TrapFrame) {
    if trap.pkrs() != PKRS_GUEST {
        end::by_fault(vcpu, trap);
    }
    let flag = match vcpu.info() {
        Ok(info) if info.has_events() => info.flag(),
        _ => return,
    };
    // GATE_CALL at the guest's PKRS is the guest's call, not entry code.
    let rip = if gates::in_gate_call(trap.rip) {
        0
    } else {
        trap.rip
    };
    match vcpu.state().entry_code.decide(trap.is_user(), rip, flag) {
        Delivery::User => enter_event(vcpu, trap, HANDLER_EVENT_USER),
        Delivery::Kernel => enter_event(vcpu, trap, HANDLER_EVENT_KERNEL),
        Delivery::Restart(rip) => trap.rip = rip,
        Delivery::Hold => {}
    }
}

fn enter_event(vcpu: &mut Vcpu, trap: &mut TrapFrame, handler: u64) {
    // Without a handler the event stays pending.
    if enter(vcpu, trap, handler, Place::Event, 0).is_ok() {
        if let Ok(info) = vcpu.info() {
            info.clear_flag();
        }
    }
}

/// Puts the state into the guest's vcpu_info and makes the trap frame an entry of the handler.
fn enter(
    vcpu: &mut Vcpu,
    trap: &mut TrapFrame,
    handler: u64,
    place: Place,
    dr6: u64,
) -> Result<(), Refusal> {
    let address = vcpu.handler(handler);
    if address == 0 {
        return Err(Refusal::State);
    }
    vcpu.info()?.put_state(place, trap, dr6);
    trap.enter_guest(address);
    Ok(())
}
