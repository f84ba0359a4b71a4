//! Calls of the guest's: what the gates lead to.

use core::mem::offset_of;
use core::sync::atomic::Ordering;

use cki_abi::calls::arguments::ROOT_NO_FLUSH;
use cki_abi::calls::{KSM_ENTRY_SET, KSM_VCPU_INFO_SET};
use cki_abi::errors::E_MONITOR;
use cki_abi::handlers::*;
use cki_abi::hypercalls::HC_BASE;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::limits::FRAME_SIZE;
use cki_abi::monitor::{EXIT_GUEST_FAULT, EXIT_HYPERCALL, EXIT_MONITOR_FAULT};
use cki_abi::selectors::{SEL_KERNEL_CS, SEL_KERNEL_DS};
use cki_abi::vcpu::{IretFrame, VcpuInfo};
use cki_ksm_core::call::Refused;
use cki_ksm_core::{Action, Monitor, Refusal, iret};

use crate::area::{Area, Frame};
use crate::memory::DirectMap;
use crate::operations::{default_gate, record};
use crate::state::rules;
use crate::{cpu, events, fault, gates};

/// rax and rdx of a call's return.
#[derive(Debug)]
#[repr(C)]
pub struct Outcome {
    status: u64,
    value: u64,
}

/// A KSM call or hypercall, on the call stack.
pub extern "C" fn call_entry(area: Area, number: u64, a: u64, b: u64, c: u64, d: u64) -> Outcome {
    if number == KSM_ENTRY_SET {
        return entry_set(area, a, b);
    }
    if number >= HC_BASE {
        return hypercall(area, number, [a, b, c, d]);
    }
    any_call(area, number, a, b, c, d)
}

/// What every page fault does, without the way through all that a call can be.
fn entry_set(area: Area, entry: u64, value: u64) -> Outcome {
    area.switch().calls += 1;
    let outcome = rules(area)
        .monitor()
        .and_then(|monitor| monitor.set_entry(entry, value));
    match outcome {
        Ok(()) => Outcome {
            status: 0,
            value: 0,
        },
        Err(refusal) => refuse(area, KSM_ENTRY_SET, [entry, value, 0, 0], refusal.into()),
    }
}

/// Apart from the entry, whose frame on the stack it would otherwise make large.
#[inline(never)]
extern "C" fn any_call(area: Area, number: u64, a: u64, b: u64, c: u64, d: u64) -> Outcome {
    area.switch().calls += 1;
    let outcome = match rules(area).monitor() {
        Ok(monitor) => monitor
            .call(area.vcpu(), number, [a, b, c, d], area.scratch())
            .and_then(|action| act(area, monitor, action, a).map_err(Refused::from)),
        Err(refusal) => Err(refusal.into()),
    };
    match outcome {
        Ok(value) => Outcome { status: 0, value },
        Err(refused) => refuse(area, number, [a, b, c, d], refused),
    }
}

#[cold]
fn refuse(area: Area, number: u64, arguments: [u64; 4], refused: Refused) -> Outcome {
    let code = refused.why.code();
    record(area, number, arguments, refused.why, area.state().call_rip);
    if code == E_MONITOR {
        fault::end(
            area,
            EXIT_MONITOR_FAULT,
            [fault::INCONSISTENT, number, area.state().call_rip, 0, 0, 0],
        );
    }
    Outcome {
        status: code.wrapping_neg(),
        value: refused.value,
    }
}

fn hypercall(area: Area, number: u64, [a, b, c, d]: [u64; 4]) -> Outcome {
    let switch = area.switch();
    switch.exit = EXIT_HYPERCALL;
    switch.exit_arguments = [number, a, b, c, d, 0];
    gates::leave(area);
    if events::pending(area) {
        // Not delivered here: the return takes the way of interrupted code then.
        area.state().slow_return = 1;
    }
    let switch = area.switch();
    Outcome {
        status: switch.status,
        value: switch.value,
    }
}

/// What to load into CR3 when the vCPU comes back: the same root and PCID, nothing flushed.
pub fn cr3_to_keep(cr3: u64) -> u64 {
    if cpu::has_pcids() {
        cr3 | ROOT_NO_FLUSH
    } else {
        // Bits 0 to 11 would be PWT, PCD and reserved, bit 63 reserved (Intel SDM Vol. 3A 4.5).
        cr3 & !ROOT_NO_FLUSH & !(FRAME_SIZE - 1)
    }
}

/// Carries out what the rules decided.
fn act(
    area: Area,
    monitor: &mut Monitor<'static, DirectMap>,
    action: Action,
    first_argument: u64,
) -> Result<u64, Refusal> {
    let state = area.state();
    match action {
        Action::Done(value) => return Ok(value),
        Action::LoadRoot(cr3) => {
            state.root = cr3_to_keep(cr3);
            cpu::load_cr3(if cpu::has_pcids() { cr3 } else { state.root });
        }
        Action::FlushPcid(pcid) => {
            if cpu::has_pcids() {
                // A load of CR3 without the bit flushes the PCID that it names.
                let root = state.root & !ROOT_NO_FLUSH & !(FRAME_SIZE - 1);
                cpu::load_cr3(root | pcid);
            }
            cpu::load_cr3(state.root);
        }
        // One vCPU: there is no other to wait for. The module creates no more.
        Action::FlushAll | Action::FlushEverywhere => {
            let flush = monitor.begin_flush();
            cpu::flush_everything();
            monitor.finish_flush(area.vcpu(), flush)?;
        }
        Action::SetGate { vector, gate } => {
            let gate = if gate == [0, 0] {
                default_gate(vector as u64)
            } else {
                gate
            };
            *area.idt().get_mut(vector).ok_or(Refusal::Monitor)? = gate;
        }
        Action::SetHandler { index, address } => {
            let slot = (index - HANDLER_EVENT_USER) as usize;
            *state.handlers.get_mut(slot).ok_or(Refusal::Monitor)? = address;
            // STAR, LSTAR, CSTAR, FMASK are consecutive.
            let msr = match index {
                HANDLER_SYSCALL => 1,
                HANDLER_SYSCALL32 => 2,
                _ => return Ok(0),
            };
            state.syscall_msrs[msr] = address;
            cpu::write_msr(cpu::IA32_STAR + msr as u32, address);
        }
        Action::SetStack(rsp0) => area.set_tss_stack(1, rsp0),
        Action::SetDescriptor { slot, descriptor } => {
            *area.gdt().get_mut(slot).ok_or(Refusal::Monitor)? = descriptor;
        }
        Action::SetVcpuInfo { frame, offset } => {
            state.info = Some((frame, offset));
            area.switch().vcpu_info_hpa = first_argument;
        }
        Action::SetEntryCode { start, end } => {
            (state.entry_code.start, state.entry_code.end) = (start, end);
        }
        Action::SetReturn { index, window } => {
            let slot = state.entry_code.returns.get_mut(index);
            *slot.ok_or(Refusal::Monitor)? = window;
        }
    }
    Ok(0)
}

const _: () = assert!(KSM_VCPU_INFO_SET < HC_BASE);

/// GATE_IRET, on the call stack; `frame` has the general registers, its five upper words are
/// filled in here.
pub extern "C" fn iret_entry(area: Area, frame: &mut Frame, rsp: u64) {
    area.switch().returns += 1;
    match requested(area).and_then(|request| Ok((iret::check(&request)?, request))) {
        Ok((to, request)) => {
            frame.rip = to.rip;
            frame.cs_and_pkrs = to.cs_and_pkrs;
            frame.rflags = to.rflags;
            frame.rsp = to.rsp;
            frame.ss = to.ss;
            frame.rax = request.rax;
            frame.rcx = request.rcx;
            frame.rdx = request.rdx;
            events::deliver(area, frame);
        }
        Err(refusal) => {
            record(area, u64::MAX, [rsp, 0, 0, 0], refusal, 0);
            let handler =
                area.state().handlers[(HANDLER_IRET_REFUSED - HANDLER_EVENT_USER) as usize];
            if handler == 0 {
                let arguments = [fault::NO_HANDLER, HANDLER_IRET_REFUSED, 0, 0, rsp, 0];
                fault::end(area, EXIT_GUEST_FAULT, arguments);
            }
            frame.rip = handler;
            frame.cs_and_pkrs = SEL_KERNEL_CS | PKRS_GUEST << 32;
            frame.rflags = 0x202;
            frame.rsp = rsp;
            frame.ss = SEL_KERNEL_DS;
            frame.rax = refusal.code().wrapping_neg();
            frame.rcx = 0;
            frame.rdx = 0;
        }
    }
}

/// `vcpu_info.iret`, each word read once.
fn requested(area: Area) -> Result<IretFrame, Refusal> {
    let base = offset_of!(VcpuInfo, iret);
    let read = |field: usize| {
        events::info_word(area, base + field).map(|word| word.load(Ordering::Relaxed))
    };
    Ok(IretFrame {
        rip: read(offset_of!(IretFrame, rip))?,
        cs: read(offset_of!(IretFrame, cs))?,
        rflags: read(offset_of!(IretFrame, rflags))?,
        rsp: read(offset_of!(IretFrame, rsp))?,
        ss: read(offset_of!(IretFrame, ss))?,
        rax: read(offset_of!(IretFrame, rax))?,
        rcx: read(offset_of!(IretFrame, rcx))?,
        rdx: read(offset_of!(IretFrame, rdx))?,
    })
}
