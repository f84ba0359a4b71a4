// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls of the guest's: what the gates lead to.

use cki_abi::calls::arguments::ROOT_NO_FLUSH;
use cki_abi::calls::{KSM_ENTRY_SET, KSM_VCPU_INFO_SET};
use cki_abi::errors::E_MONITOR;
use cki_abi::faults::{FAULT_INCONSISTENT, FAULT_NO_HANDLER};
use cki_abi::handlers::*;
use cki_abi::hypercalls::HC_BASE;
use cki_abi::limits::FRAME_SIZE;
use cki_abi::monitor::{KSM_EXIT_GUEST_FAULT, KSM_EXIT_HYPERCALL, KSM_EXIT_MONITOR_FAULT};
use cki_ksm_core::call::Refused;
use cki_ksm_core::{Action, Monitor, Refusal, iret};

use crate::access::rules;
use crate::area::{AreaAddress, Vcpu};
use crate::info::Info;
use crate::memory::DirectMap;
use crate::root::cr3_to_keep;
use crate::tables::default_gate;
use crate::trap::TrapFrame;
use crate::{cpu, end, events, gates};

/// rax and rdx of a call's return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Answer {
    pub status: u64,
    pub value: u64,
}

/// A KSM call or hypercall, on the call stack.
///
/// # Safety
///
/// From GATE_CALL, with the area of the vCPU that this runs on.
pub unsafe extern "C" fn call_entry(
    area: AreaAddress,
    number: u64,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
) -> Answer {
    // SAFETY: the guest has called, so no code of ours was at work.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    call(&mut vcpu, number, [a, b, c, d])
}

/// Carries out a KSM call or hypercall.
#[inline]
pub fn call(vcpu: &mut Vcpu, number: u64, arguments: [u64; 4]) -> Answer {
    if number == KSM_ENTRY_SET {
        return entry_set(vcpu, arguments[0], arguments[1]);
    }
    if number >= HC_BASE {
        return hypercall(vcpu, number, arguments);
    }
    any_call(vcpu, number, arguments)
}

/// What every page fault does, without the way through all that a call can be.
#[inline]
fn entry_set(vcpu: &mut Vcpu, entry: u64, value: u64) -> Answer {
    vcpu.switch().count_call();
    let outcome = rules(vcpu)
        .monitor()
        .and_then(|monitor| monitor.set_entry(entry, value));
    match outcome {
        Ok(()) => Answer {
            status: 0,
            value: 0,
        },
        Err(refusal) => refuse(vcpu, KSM_ENTRY_SET, [entry, value, 0, 0], refusal.into()),
    }
}

/// Apart from the entry, whose share of the stack it would otherwise make large.
#[inline(never)]
fn any_call(vcpu: &mut Vcpu, number: u64, arguments: [u64; 4]) -> Answer {
    vcpu.switch().count_call();
    let outcome = match rules(vcpu).monitor() {
        Ok(monitor) => monitor
            .call(vcpu.number(), number, arguments, vcpu.scratch())
            .and_then(|action| act(vcpu, monitor, action, arguments[0]).map_err(Refused::from)),
        Err(refusal) => Err(refusal.into()),
    };
    match outcome {
        Ok(value) => Answer { status: 0, value },
        Err(refused) => refuse(vcpu, number, arguments, refused),
    }
}

#[cold]
fn refuse(vcpu: &mut Vcpu, number: u64, arguments: [u64; 4], refused: Refused) -> Answer {
    let code = refused.why.code();
    let rip = vcpu.state().call_rip;
    vcpu.switch().record(number, arguments, refused.why, rip);
    if code == E_MONITOR {
        let arguments = [FAULT_INCONSISTENT, number, rip, 0, 0, 0];
        end::end(vcpu, KSM_EXIT_MONITOR_FAULT, arguments);
    }
    Answer {
        status: code.wrapping_neg(),
        value: refused.value,
    }
}

fn hypercall(vcpu: &mut Vcpu, number: u64, [a, b, c, d]: [u64; 4]) -> Answer {
    vcpu.switch()
        .set_exit(KSM_EXIT_HYPERCALL, [number, a, b, c, d, 0]);
    gates::exit(vcpu);
    if events::pending(vcpu) {
        // Not delivered here: the return takes the way of interrupted code then.
        vcpu.state().slow_return = 1;
    }
    let (status, value) = vcpu.switch().answer();
    Answer { status, value }
}

/// Carries out what the rules decided.
fn act(
    vcpu: &mut Vcpu,
    monitor: &mut Monitor<'static, DirectMap>,
    action: Action,
    first_argument: u64,
) -> Result<u64, Refusal> {
    match action {
        Action::Done(value) => return Ok(value),
        Action::Declared => vcpu.switch().count_table(1),
        Action::Released => vcpu.switch().count_table(u64::MAX),
        Action::LoadRoot(cr3) => {
            let root = cr3_to_keep(cr3);
            vcpu.state().root = root;
            // SAFETY: the rules have just accepted it, and count this vCPU's reference to the root.
            unsafe { cpu::load_cr3(if cpu::has_pcids() { cr3 } else { root }) };
        }
        Action::FlushPcid(pcid) => {
            let root = vcpu.state().root;
            if cpu::has_pcids() {
                // A load of CR3 without the bit flushes the PCID that it names.
                let other = root & !ROOT_NO_FLUSH & !(FRAME_SIZE - 1) | pcid;
                // SAFETY: the root is the one that CR3 has, and the rules' reference keeps it; they made the PCID.
                unsafe { cpu::load_cr3(other) };
            }
            // SAFETY: as it was before.
            unsafe { cpu::load_cr3(root) };
        }
        // There is no other vCPU to wait for: OP_INIT refuses more than one.
        Action::FlushAll | Action::FlushEverywhere => {
            let flush = monitor.begin_flush();
            cpu::flush_everything();
            monitor.finish_flush(vcpu.number(), flush)?;
        }
        Action::SetGate { vector, gate } => {
            let gate = if gate == [0, 0] {
                default_gate(vector as u64)
            } else {
                gate
            };
            *vcpu.idt().get_mut(vector).ok_or(Refusal::Monitor)? = gate;
        }
        Action::SetHandler { index, address } => set_handler(vcpu, index, address)?,
        Action::SetStack(rsp0) => vcpu.set_tss_stack(1, rsp0),
        Action::SetDescriptor { slot, descriptor } => {
            *vcpu.gdt().get_mut(slot).ok_or(Refusal::Monitor)? = descriptor;
        }
        Action::SetVcpuInfo { frame, offset } => {
            vcpu.state().info = Some((frame, offset));
            vcpu.switch().set_info(first_argument);
        }
        Action::SetEntryCode { start, end } => {
            let code = &mut vcpu.state().entry_code;
            (code.start, code.end) = (start, end);
        }
        Action::SetReturn { index, window } => {
            let slot = vcpu.state().entry_code.returns.get_mut(index);
            *slot.ok_or(Refusal::Monitor)? = window;
        }
    }
    Ok(0)
}

fn set_handler(vcpu: &mut Vcpu, index: u64, address: u64) -> Result<(), Refusal> {
    let state = vcpu.state();
    let slot = (index - HANDLER_EVENT_USER) as usize;
    *state.handlers.get_mut(slot).ok_or(Refusal::Monitor)? = address;
    // LSTAR, CSTAR, FMASK are consecutive.
    let msr = match index {
        HANDLER_SYSCALL => 0,
        HANDLER_SYSCALL32 => 1,
        _ => return Ok(()),
    };
    state.syscall_msrs[msr] = address;
    // SAFETY: LSTAR or CSTAR; the rules let canonical addresses through only.
    unsafe { cpu::write_msr(cpu::IA32_LSTAR + msr as u32, address) };
    Ok(())
}

const _: () = assert!(KSM_VCPU_INFO_SET < HC_BASE);

/// GATE_IRET, on the call stack; `trap` has the general registers, its five upper words are
/// filled in here.
///
/// # Safety
///
/// From GATE_IRET, with the area of the vCPU that this runs on.
pub unsafe extern "C" fn iret_entry(area: AreaAddress, trap: &mut TrapFrame, rsp: u64) {
    // SAFETY: the guest has jumped to the gate, so no code of ours was at work.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    iret(&mut vcpu, trap, rsp);
}

/// Makes the trap frame what the guest asks to return to, or an entry of its handler for refusals.
pub fn iret(vcpu: &mut Vcpu, trap: &mut TrapFrame, rsp: u64) {
    vcpu.switch().count_return();
    let request = vcpu.info().map(Info::requested);
    match request.and_then(|request| Ok((iret::check(&request)?, request))) {
        Ok((to, request)) => {
            trap.rip = to.rip;
            trap.cs_and_pkrs = to.cs_and_pkrs;
            trap.rflags = to.rflags;
            trap.rsp = to.rsp;
            trap.ss = to.ss;
            trap.rax = request.rax;
            trap.rcx = request.rcx;
            trap.rdx = request.rdx;
            events::deliver(vcpu, trap);
        }
        Err(refusal) => {
            vcpu.switch().record(u64::MAX, [rsp, 0, 0, 0], refusal, 0);
            let handler = vcpu.handler(HANDLER_IRET_REFUSED);
            if handler == 0 {
                let arguments = [FAULT_NO_HANDLER, HANDLER_IRET_REFUSED, 0, 0, rsp, 0];
                end::end(vcpu, KSM_EXIT_GUEST_FAULT, arguments);
            }
            trap.enter_guest(handler);
            trap.rsp = rsp;
            trap.rax = refusal.code().wrapping_neg();
            trap.rcx = 0;
            trap.rdx = 0;
        }
    }
}
