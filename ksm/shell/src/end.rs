// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a container: an exit that nobody comes back from.

use cki_abi::faults::FAULT_GATE_MISUSED;
#[cfg(target_os = "none")]
use cki_abi::faults::FAULT_PANIC;
use cki_abi::monitor::{KSM_EXIT_GUEST_FAULT, KSM_EXIT_MONITOR_FAULT};

use crate::area::{AreaAddress, Vcpu};
use crate::trap::TrapFrame;
use crate::{cpu, gates, state};

/// Exits to the host with `exit`, and again whenever it comes back. The container's other vCPUs end at
/// their next call at the latest: this one may have left its rules half changed, and the lock taken.
pub fn end(vcpu: &mut Vcpu, exit: u64, arguments: [u64; 6]) -> ! {
    state::poison();
    loop {
        vcpu.switch().set_exit(exit, arguments);
        gates::exit(vcpu);
    }
}

/// The guest, or the monitor, did what it must not. Whose fault it is, PKRS says.
pub fn by_fault(vcpu: &mut Vcpu, trap: &TrapFrame) -> ! {
    let exit = if trap.pkrs() == 0 {
        KSM_EXIT_MONITOR_FAULT
    } else {
        KSM_EXIT_GUEST_FAULT
    };
    let arguments = [
        trap.vector,
        trap.error_code,
        trap.rip,
        cpu::cr2(),
        trap.rsp,
        trap.pkrs(),
    ];
    end(vcpu, exit, arguments)
}

/// A WRPKRS was reached by a jump.
///
/// # Safety
///
/// From the gates, with the area of the vCPU that this runs on.
pub unsafe extern "C" fn bad_gate_entry(area: AreaAddress, rsp: u64) -> ! {
    // SAFETY: the guest has jumped here: no code of ours was at work, or is suspended but in exit().
    let mut vcpu = unsafe { Vcpu::enter(area) };
    end(
        &mut vcpu,
        KSM_EXIT_GUEST_FAULT,
        [FAULT_GATE_MISUSED, 0, 0, cpu::cr2(), rsp, 0],
    )
}

/// A panic is a defect of the monitor: the container ends.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let line = info
        .location()
        .map_or(0, |location| u64::from(location.line()));
    // In front of the vCPU's own tables there is no area to leave by. Nothing panics there; if it does, the host ends
    // by a double fault, and no memory is written that is somebody's.
    let Some(area) = cpu::current_area() else {
        cpu::stop()
    };
    // SAFETY: the code that has panicked is not returned to.
    let mut vcpu = unsafe { Vcpu::enter(area) };
    end(
        &mut vcpu,
        KSM_EXIT_MONITOR_FAULT,
        [FAULT_PANIC, 0, line, 0, 0, 0],
    )
}
