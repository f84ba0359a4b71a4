//! What the CPU delivers to the monitor, and what the monitor delivers to the guest.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use cki_abi::handlers::*;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::monitor::*;
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS};
use cki_abi::vcpu::{EventFrame, VcpuInfo};
use cki_ksm_core::Refusal;
use cki_ksm_core::event::Delivery;
use cki_ksm_core::iret::FLAG_TRAP;

use crate::area::{Area, Frame};
use crate::memory::info_atomic;
use crate::{cpu, fault, gates};

const DEBUG: u64 = 1;
const NMI: u64 = 2;
const MACHINE_CHECK: u64 = 18;
const FIRST_INTERRUPT: u64 = 32;
/// RFLAGS of a handler that the monitor enters: IF and the bit that is always 1.
const HANDLER_FLAGS: u64 = 0x202;

/// A privileged event, on its IST. Interrupts, NMI and #MC are held back while the monitor runs, so they
/// have interrupted the guest; a #MC that an instruction of the monitor's raised is the exception.
pub extern "C" fn event_entry(area: Area, frame: &mut Frame) {
    match frame.vector {
        _ if frame.pkrs() == 0 => in_monitor(area, frame),
        FIRST_INTERRUPT..=255 if is_interrupt(frame.vector) => exit(area, frame, EXIT_INTERRUPT),
        NMI => exit(area, frame, EXIT_NMI),
        MACHINE_CHECK => exit(area, frame, EXIT_MACHINE_CHECK),
        _ if is_misused(frame) => {}
        DEBUG => debug(area, frame),
        _ => fault::fault(area, frame),
    }
    // Only now: the host has to get its interrupt, or its APIC delivers no other.
    if is_misused(frame) {
        let arguments = [
            fault::GATE_MISUSED,
            frame.vector,
            frame.rip,
            cpu::cr2(),
            frame.rsp,
            frame.pkrs(),
        ];
        fault::end(area, EXIT_GUEST_FAULT, arguments);
    }
}

/// An event at PKRS = 0: the trap of a gate that was entered with TF set, or the end of the container.
fn in_monitor(area: Area, frame: &mut Frame) {
    match frame.vector {
        DEBUG => {
            cpu::take_dr6();
            frame.rflags &= !FLAG_TRAP;
        }
        // What the monitor was doing is lost, and with it the container. The host has its machine check.
        MACHINE_CHECK => fault::end(area, EXIT_MACHINE_CHECK, [MACHINE_CHECK, 1, 0, 0, 0, 0]),
        _ => fault::fault(area, frame),
    }
}

/// I7: a WRPKRS reached by a jump can give PKRS a third value for as long as it takes to the comparison
/// behind it. Whoever is met there is not resumed.
fn is_misused(frame: &Frame) -> bool {
    frame.pkrs() != 0 && frame.pkrs() != PKRS_GUEST
}

/// Vector 0x80 is an exception of the guest's that it has no handler for.
fn is_interrupt(vector: u64) -> bool {
    vector != 0x80
}

/// Has the host handle the event, then goes on.
fn exit(area: Area, frame: &mut Frame, reason: u64) {
    let switch = area.switch();
    switch.exit = reason;
    switch.exit_arguments = [frame.vector, 0, 0, 0, 0, 0];
    gates::leave(area);
    if !is_misused(frame) {
        deliver(area, frame);
    }
}

/// A call returns to a guest that has an event to take.
pub extern "C" fn slow_return_entry(area: Area, frame: &mut Frame) {
    area.state().slow_return = 0;
    deliver(area, frame);
}

/// #DB in the guest. DR7 is 0 and INT1 is refused, so it is TF.
fn debug(area: Area, frame: &mut Frame) {
    let dr6 = cpu::take_dr6();
    let index = if frame.is_user() {
        HANDLER_DEBUG_USER
    } else {
        HANDLER_DEBUG_KERNEL
    };
    if enter(area, frame, index, offset_of!(VcpuInfo, debug), dr6).is_err() {
        fault::fault(area, frame);
    }
}

/// A word of the guest's `struct cki_vcpu_info`, in its own memory.
pub fn info_word(area: Area, offset: usize) -> Result<&'static AtomicU64, Refusal> {
    let (frame, start) = area.state().info.ok_or(Refusal::State)?;
    Ok(info_atomic(frame, start + offset))
}

/// Whether the guest has an event pending and its flag set.
pub fn pending(area: Area) -> bool {
    let word = |offset| info_word(area, offset).map_or(0, |word| word.load(Ordering::Acquire));
    word(offset_of!(VcpuInfo, events)) != 0
        && word(offset_of!(VcpuInfo, interrupt_flag)) & 0xff != 0
}

/// Delivers pending events to the guest that `frame` returns to, if it takes them there. A frame that returns
/// to anything but the guest would become one with its address and the monitor's rights: it ends the container.
pub fn deliver(area: Area, frame: &mut Frame) {
    if frame.pkrs() != PKRS_GUEST {
        fault::fault(area, frame);
    }
    let Ok(events) = info_word(area, offset_of!(VcpuInfo, events)) else {
        return;
    };
    if events.load(Ordering::Acquire) == 0 {
        return;
    }
    let flag = info_word(area, offset_of!(VcpuInfo, interrupt_flag))
        .is_ok_and(|word| word.load(Ordering::Acquire) & 0xff != 0);
    // GATE_CALL at the guest's PKRS is the guest's call, not entry code.
    let rip = if gates::in_gate_call(frame.rip) {
        0
    } else {
        frame.rip
    };
    match area.state().entry_code.decide(frame.is_user(), rip, flag) {
        Delivery::User => enter_event(area, frame, HANDLER_EVENT_USER),
        Delivery::Kernel => enter_event(area, frame, HANDLER_EVENT_KERNEL),
        Delivery::Restart(rip) => frame.rip = rip,
        Delivery::Hold => {}
    }
}

fn enter_event(area: Area, frame: &mut Frame, index: u64) {
    if enter(area, frame, index, offset_of!(VcpuInfo, event), 0).is_err() {
        // No handler yet: the event stays pending.
        return;
    }
    if let Ok(word) = info_word(area, offset_of!(VcpuInfo, interrupt_flag)) {
        word.fetch_and(!0xff, Ordering::Release);
    }
}

/// Leaves the frame in the guest's vcpu_info at `place` and turns it into an entry of the handler.
fn enter(area: Area, frame: &mut Frame, index: u64, place: usize, dr6: u64) -> Result<(), Refusal> {
    let handler = area.state().handlers[(index - HANDLER_EVENT_USER) as usize];
    if handler == 0 {
        return Err(Refusal::State);
    }
    for (offset, value) in [
        (offset_of!(EventFrame, rip), frame.rip),
        (offset_of!(EventFrame, cs), frame.cs_and_pkrs & 0xffff),
        (offset_of!(EventFrame, rflags), frame.rflags),
        (offset_of!(EventFrame, rsp), frame.rsp),
        (offset_of!(EventFrame, ss), frame.ss),
        (offset_of!(EventFrame, dr6), dr6),
    ] {
        info_word(area, place + offset)?.store(value, Ordering::Relaxed);
    }
    frame.rip = handler;
    frame.cs_and_pkrs = SEL_KERNEL_CS | PKRS_GUEST << 32;
    frame.rflags = HANDLER_FLAGS;
    frame.ss = SEL_KERNEL_DS;
    Ok(())
}
