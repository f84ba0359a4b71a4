// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the host module asks of the monitor.

use cki_abi::calls::{KSM_EXEC_SEAL, KSM_TABLE_DECLARE};
use cki_abi::errors::{E_ARGUMENT, E_CALL, E_STATE};
use cki_abi::faults::FAULT_NOT_PINNED;
use cki_abi::limits::VCPUS_SUPPORTED;
use cki_abi::monitor::*;
use cki_abi::version::{ABI_VERSION, MONITOR_BOOT_MAGIC};
use cki_ksm_core::event::entry_address;
use cki_ksm_core::{Config, Kind, Monitor, Refusal, Setup};

use crate::access::rules;
use crate::area::{AreaAddress, Vcpu};
use crate::memory::DirectMap;
use crate::root::cr3_to_keep;
use crate::state::{Rules, boot, storage};
use crate::tables::set_up_tables;
use crate::trap::TrapFrame;
use crate::{cpu, gates};

/// Whether the monitor may be entered: the CPU is as the rules assume. 0 if so; 1 if not, and then the host
/// finds KSM_EXIT_MONITOR_FAULT. On the host's stack, with the host's tables; sets up the vCPU's own the first time.
///
/// # Safety
///
/// From MONITOR_ENTRY, with the area of the vCPU that the module enters.
pub unsafe extern "C" fn check_entry(area: AreaAddress) -> u64 {
    // SAFETY: the module enters a vCPU when it is not in the monitor: all code of ours is in gates::exit.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    // As the container was set up, whatever CR4 says.
    let pcids = boot(|boot| boot.pcids != 0);
    if !cpu::check_pinned(pcids) {
        let arguments = [FAULT_NOT_PINNED, 0, 0, 0, 0, 0];
        vcpu.switch().set_exit(KSM_EXIT_MONITOR_FAULT, arguments);
        return 1;
    }
    if vcpu.begin() {
        set_up_tables(&mut vcpu);
    }
    0
}

/// Carries out the operation in the vCPU's switch page.
///
/// # Safety
///
/// From MONITOR_ENTRY, with the area of the vCPU that the module enters.
pub unsafe extern "C" fn operation_entry(area: AreaAddress) {
    // SAFETY: as for check_entry(), whose own is gone.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    operation(&mut vcpu);
}

/// Carries out the operation that the switch page names, and says there how it went.
pub fn operation(vcpu: &mut Vcpu) {
    let (operation, arguments) = vcpu.switch().operation();
    let outcome = operate(vcpu, operation, arguments);
    vcpu.switch().set_exit(KSM_EXIT_DONE, [0; 6]);
    vcpu.switch().set_answer(match outcome {
        Ok(value) => (0, value),
        Err((error, value)) => (error.wrapping_neg(), value),
    });
}

/// The second result; with an error, if it is refused.
fn operate(vcpu: &mut Vcpu, operation: u64, [a, b, c, d]: [u64; 4]) -> Result<u64, (u64, u64)> {
    match operation {
        OP_INIT => init(vcpu).map_err(|error| (error, 0)),
        OP_SEAL => with_monitor(vcpu, KSM_EXEC_SEAL, [a, b, 0, 0], |monitor| {
            let (sealed, outcome) = monitor.seal(a, b);
            outcome.map(|()| sealed)
        }),
        OP_ADOPT => {
            let left = with_monitor(vcpu, KSM_TABLE_DECLARE, [a, b, 0, 0], |monitor| {
                let kind = Kind::from_abi(b).ok_or(Refusal::Argument)?;
                monitor.adopt(a, kind)
            })?;
            if left == 0 {
                vcpu.switch().count_table(1);
            }
            Ok(left)
        }
        OP_START => start(vcpu, a, b, c, d)
            .map(|()| 0)
            .map_err(|error| (error, 0)),
        OP_RUN => Err((E_STATE, 0)),
        _ => Err((E_CALL, 0)),
    }
}

fn with_monitor(
    vcpu: &mut Vcpu,
    call: u64,
    arguments: [u64; 4],
    action: impl FnOnce(&mut Monitor<'static, DirectMap>) -> Result<u64, Refusal>,
) -> Result<u64, (u64, u64)> {
    let outcome = rules(vcpu).monitor().and_then(action);
    outcome.map_err(|refusal| {
        vcpu.switch().record(call, arguments, refusal, 0);
        (refusal.code(), 0)
    })
}

/// A step of making the monitor; how many frames are left for others. Not inlined: it needs much of the
/// stack, and the other operations little.
#[inline(never)]
fn init(vcpu: &mut Vcpu) -> Result<u64, u64> {
    let mut rules = rules(vcpu);
    if let Rules::None = *rules {
        *rules = Rules::Setup(boot(new_monitor)?);
    }
    let Rules::Setup(setup) = &mut *rules else {
        return Err(E_STATE);
    };
    let left = setup.step().map_err(Refusal::code)?;
    if left == 0 {
        if let Rules::Setup(setup) = core::mem::replace(&mut *rules, Rules::None) {
            *rules = Rules::Ready(setup.finish().map_err(Refusal::code)?);
        }
    }
    Ok(left)
}

fn new_monitor(boot: &MonitorBoot) -> Result<Setup<'static, DirectMap>, u64> {
    if boot.magic != MONITOR_BOOT_MAGIC || u64::from(boot.abi_version) != ABI_VERSION {
        return Err(E_ARGUMENT);
    }
    // The rules are of several. But FLUSH_EVERYWHERE, for which a table's change of kind waits, reaches one.
    if u64::from(boot.vcpus) > VCPUS_SUPPORTED {
        return Err(E_ARGUMENT);
    }
    let segments = boot
        .segments
        .get(..boot.segment_count as usize)
        .ok_or(E_ARGUMENT)?;
    let config = Config {
        segments,
        classes: boot
            .classes
            .get(..boot.class_count as usize)
            .ok_or(E_ARGUMENT)?,
        shared: boot
            .shared
            .get(..boot.shared_count as usize)
            .ok_or(E_ARGUMENT)?,
        vcpus: boot.vcpus,
        pcid_base: boot.pcid_base,
        pcids: boot.pcids,
        slot_entry: boot.slot_entry,
    };
    if (boot.pcids != 0) != cpu::has_pcids() {
        return Err(E_ARGUMENT);
    }
    let bytes = segments
        .iter()
        .fold(0u64, |sum, segment| sum.saturating_add(segment.size));
    // SAFETY: the module has mapped the segments, as many frames as these have, and they stay.
    let memory = unsafe { DirectMap::new() };
    Setup::new(memory, &config, storage(bytes)?).map_err(Refusal::code)
}

/// Prepares the first trap frame, as if the guest had been interrupted in front of its first instruction.
fn start(vcpu: &mut Vcpu, root: u64, rip: u64, rsp: u64, rdi: u64) -> Result<(), u64> {
    if vcpu.state().resume_rsp != 0 {
        return Err(E_STATE);
    }
    let rip = entry_address(rip).map_err(Refusal::code)?;
    let number = vcpu.number();
    let cr3 = {
        let mut rules = rules(vcpu);
        let monitor = rules.monitor().map_err(Refusal::code)?;
        monitor.start_vcpu(number).map_err(Refusal::code)?;
        monitor.load_root(number, root).map_err(Refusal::code)?
    };
    vcpu.state().root = cr3_to_keep(cr3);
    let mut trap = TrapFrame {
        rdi,
        rsp,
        ..TrapFrame::default()
    };
    trap.enter_guest(rip);
    vcpu.suspend_at(trap, gates::trap_return_address());
    Ok(())
}
