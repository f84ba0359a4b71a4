//! What the host module asks of the monitor.

use cki_abi::calls::{KSM_EXEC_SEAL, KSM_TABLE_DECLARE};
use cki_abi::errors::{E_ARGUMENT, E_CALL, E_STATE};
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{
    IST_COUNT, IST_DOUBLE_FAULT, VCPU_GDT, VCPU_IDT, VCPU_IST_STRIDE, VCPU_IST_TOP, VCPU_STACK_TOP,
};
use cki_abi::monitor::*;
use cki_abi::selectors::{GDT_SIZE, SEL_KERNEL_CS, SEL_KERNEL_DS, STAR_HIGH, SYSCALL_MASK};
use cki_abi::version::{ABI_VERSION, MONITOR_BOOT_MAGIC};
use cki_ksm_core::descriptor::{self, Owner};
use cki_ksm_core::event::{EntryCode, entry_address};
use cki_ksm_core::table::Contents;
use cki_ksm_core::{Config, Kind, Monitor, Refusal, Setup};

use crate::area::{Area, Frame, TablePointer};
use crate::memory::DirectMap;
use crate::state::{Rules, boot, rules, storage};
use crate::{cpu, fault, gates};

/// Whether the monitor may be entered: the CPU is as the rules assume. 0 if so; 1 if not, and then the host
/// finds EXIT_MONITOR_FAULT. On the host's stack, with the host's tables; sets up the vCPU's own the first time.
pub extern "C" fn check_entry(area: Area) -> u64 {
    if !cpu::check_pinned() {
        let switch = area.switch();
        switch.exit = EXIT_MONITOR_FAULT;
        switch.exit_arguments = [fault::NOT_PINNED, 0, 0, 0, 0, 0];
        return 1;
    }
    if area.state().ready == 0 {
        set_up_tables(area);
    }
    0
}

/// Sets up GDT, IDT and TSS.
fn set_up_tables(area: Area) {
    *area.gdt() = descriptor::gdt(area.vcpu() as u64);
    for (vector, gate) in area.idt().iter_mut().enumerate() {
        *gate = default_gate(vector as u64);
    }
    *area.tss() = [0; 26];
    for ist in 1..=IST_COUNT {
        let top = area.address() + VCPU_IST_TOP + (ist - 1) * VCPU_IST_STRIDE;
        area.set_tss_stack(7 + 2 * ist as usize, top);
    }
    // The I/O bitmap begins beyond the limit: there is none.
    area.tss()[25] = (descriptor::TSS_SIZE as u32) << 16;
    let state = area.state();
    state.gdtr = TablePointer {
        limit: GDT_SIZE as u16 - 1,
        base: area.address() + VCPU_GDT,
    };
    state.idtr = TablePointer {
        limit: 0xfff,
        base: area.address() + VCPU_IDT,
    };
    state.syscall_msrs = [STAR_HIGH << 32, 0, 0, SYSCALL_MASK];
    state.entry_code = EntryCode::default();
    state.info = None;
    state.ready = 1;
}

/// What a vector does before the guest has a handler for it: the monitor's event entry. For the
/// guest's own vectors and reserved ones that is the end of the container, with the vector named.
pub fn default_gate(vector: u64) -> [u64; 2] {
    let stub = gates::event_stub(vector);
    let gate = match descriptor::owner(vector) {
        Owner::Monitor { .. } => descriptor::monitor_gate(vector, stub),
        // As the gate of #DF: privileged, and on the stack of last resort.
        Owner::Guest | Owner::Nobody => descriptor::monitor_gate(8, stub),
    };
    gate.unwrap_or([0, 0])
}

const _: () = assert!(IST_DOUBLE_FAULT != 0);

/// Carries out the operation in the vCPU's switch page.
pub extern "C" fn operation_entry(area: Area) {
    let (operation, arguments) = (area.switch().operation, area.switch().arguments);
    let outcome = operate(area, operation, arguments);
    let switch = area.switch();
    switch.exit = EXIT_DONE;
    (switch.status, switch.value) = match outcome {
        Ok(value) => (0, value),
        Err((error, value)) => (error.wrapping_neg(), value),
    };
}

/// The second result; with an error, if it is refused.
fn operate(area: Area, operation: u64, [a, b, c, d]: [u64; 4]) -> Result<u64, (u64, u64)> {
    match operation {
        OP_INIT => init(area).map_err(|error| (error, 0)),
        OP_SEAL => with_monitor(area, KSM_EXEC_SEAL, [a, b, 0, 0], |monitor| {
            let (sealed, outcome) = monitor.seal(a, b);
            outcome.map(|()| sealed)
        }),
        OP_ADOPT => with_monitor(area, KSM_TABLE_DECLARE, [a, b, 0, 0], |monitor| {
            let kind = Kind::from_abi(b).ok_or(Refusal::Argument)?;
            monitor.declare(a, kind, Contents::Keep).map(|()| 0)
        }),
        OP_START => start(area, a, b, c, d)
            .map(|()| 0)
            .map_err(|error| (error, 0)),
        OP_FLUSHED => with_monitor(area, 0, [0; 4], |monitor| {
            let flush = monitor.begin_flush();
            // The module says so before it enters, so the flush is finished. That of this entry
            // covers what the bridge has cached of the slot.
            cpu::flush_everything();
            monitor.finish_flush(area.vcpu(), flush).map(|()| 0)
        }),
        OP_RUN => Err((E_STATE, 0)),
        _ => Err((E_CALL, 0)),
    }
}

fn with_monitor(
    area: Area,
    call: u64,
    arguments: [u64; 4],
    action: impl FnOnce(&mut Monitor<'static, DirectMap>) -> Result<u64, Refusal>,
) -> Result<u64, (u64, u64)> {
    let outcome = rules(area).monitor().and_then(action);
    outcome.map_err(|refusal| {
        record(area, call, arguments, refusal, 0);
        (refusal.code(), 0)
    })
}

/// Keeps the last refusal for the host to print.
pub fn record(area: Area, call: u64, arguments: [u64; 4], refusal: Refusal, rip: u64) {
    let record = &mut area.switch().refusal;
    record.count += 1;
    record.call = call;
    record.arguments = arguments;
    record.error = refusal.code();
    record.rip = rip;
}

/// A step of making the monitor; how many frames are left for others. Not inlined: it needs much of the
/// stack, and the other operations little.
#[inline(never)]
fn init(area: Area) -> Result<u64, u64> {
    let mut rules = rules(area);
    if let Rules::None = *rules {
        *rules = Rules::Setup(new_monitor()?);
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

fn new_monitor() -> Result<Setup<'static, DirectMap>, u64> {
    let boot = boot();
    if boot.magic != MONITOR_BOOT_MAGIC || u64::from(boot.abi_version) != ABI_VERSION {
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
    Setup::new(DirectMap, &config, storage(bytes)?).map_err(Refusal::code)
}

/// Prepares the first frame, as if the guest had been interrupted in front of its first instruction.
fn start(area: Area, root: u64, rip: u64, rsp: u64, rdi: u64) -> Result<(), u64> {
    if area.state().resume_rsp != 0 {
        return Err(E_STATE);
    }
    let rip = entry_address(rip).map_err(Refusal::code)?;
    let cr3 = {
        let mut rules = rules(area);
        let monitor = rules.monitor().map_err(Refusal::code)?;
        monitor.start_vcpu(area.vcpu()).map_err(Refusal::code)?;
        monitor
            .load_root(area.vcpu(), root)
            .map_err(Refusal::code)?
    };
    area.state().root = crate::calls::cr3_to_keep(cr3);
    let frame = Frame {
        rdi,
        rip,
        cs_and_pkrs: SEL_KERNEL_CS | PKRS_GUEST << 32,
        rflags: 0x202,
        rsp,
        ss: SEL_KERNEL_DS,
        r15: 0,
        r14: 0,
        r13: 0,
        r12: 0,
        r11: 0,
        r10: 0,
        r9: 0,
        r8: 0,
        rbp: 0,
        rsi: 0,
        rdx: 0,
        rcx: 0,
        rbx: 0,
        rax: 0,
        vector: 0,
        error_code: 0,
    };
    // Below the stack that this runs on: the first frame is written to the call stack's bottom half
    // and moved up by nothing, since OP_RUN enters it where it is.
    let bottom = area.address() + VCPU_STACK_TOP - 0x3000;
    // SAFETY: the call stack is 16 KiB, this operation uses its upper 12 KiB at most, and nothing else
    // runs on it until OP_RUN takes this frame.
    unsafe {
        let at = bottom as *mut Frame;
        at.write(frame);
        // What world_exit would have left: six registers and where to return to.
        let resume = (bottom - 7 * 8) as *mut u64;
        for index in 0..6 {
            resume.add(index).write(0);
        }
        resume.add(6).write(gates::frame_return_address());
    }
    area.state().resume_rsp = bottom - 7 * 8;
    Ok(())
}
