// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the module asks for.

use cki_abi::calls::arguments::TABLE_L1;
use cki_abi::errors::*;
use cki_abi::faults::FAULT_NOT_PINNED;
use cki_abi::isa::WRPKRS;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{IST_COUNT, VCPU_IST_STRIDE, VCPU_IST_TOP, VCPU_STACK_TOP};
use cki_abi::monitor::*;
use cki_abi::selectors::*;

use crate::cpu::PINNED;
use crate::gates;
use crate::operations::check_entry;
use crate::testing::*;
use crate::trap::TrapFrame;

const OK: (u64, u64) = (0, 0);

fn refused(error: u64) -> (u64, u64) {
    (error.wrapping_neg(), 0)
}

#[test]
fn nothing_but_init_works_before_init_and_init_works_once() {
    let mut vcpu = new_vcpu();
    let state = refused(E_STATE);
    assert_eq!(operate(&mut vcpu, OP_SEAL, [TEXT, 1, 0, 0]), state);
    assert_eq!(operate(&mut vcpu, OP_ADOPT, [L1, TABLE_L1, 0, 0]), state);
    assert_eq!(operate(&mut vcpu, OP_START, [ROOT, 0x1000, 0, 0]), state);
    assert_eq!(operate(&mut vcpu, OP_INIT, [0; 4]), OK);
    assert_eq!(operate(&mut vcpu, OP_INIT, [0; 4]), state);
    assert_eq!(operate(&mut vcpu, OP_RUN, [0; 4]), state, "nothing to run");
    assert_eq!(operate(&mut vcpu, 99, [0; 4]), refused(E_CALL));
}

#[test]
fn more_vcpus_than_a_flush_of_all_reaches_are_refused() {
    let mut vcpu = new_vcpu();
    for count in [0, 2, 64, 65, u32::MAX] {
        ask_for_vcpus(count);
        assert_eq!(
            operate(&mut vcpu, OP_INIT, [0; 4]),
            refused(E_ARGUMENT),
            "{count}"
        );
    }
    ask_for_vcpus(1);
    assert_eq!(operate(&mut vcpu, OP_INIT, [0; 4]), OK);
}

#[test]
fn a_seal_says_how_many_and_what_refused() {
    let mut vcpu = vcpu();
    assert_eq!(operate(&mut vcpu, OP_SEAL, [TEXT, 2, 0, 0]), (0, 2));
    put(TEXT + 0x2000, u64::from(u32::from_le_bytes(WRPKRS)));
    assert_eq!(
        operate(&mut vcpu, OP_SEAL, [TEXT + 0x2000, 1, 0, 0]),
        refused(E_GADGET)
    );
    assert_eq!(vcpu.switch().counts()[2], 1);
}

#[test]
fn adopted_tables_are_judged() {
    let mut vcpu = vcpu();
    let table = L1 + 0x1000;
    put(table + 8, 0x9000_0000 | 0x63 | 1 << 63);
    let arguments = [table, TABLE_L1, 0, 0];
    let before = vcpu.switch().tables();
    assert_eq!(adopt(&mut vcpu, arguments), refused(E_RANGE));
    assert_eq!(vcpu.switch().tables(), before);
    put(table + 8, BASE | 0x63 | 1 << 63);
    assert_eq!(adopt(&mut vcpu, arguments), OK);
    assert_eq!(get(table + 8), BASE | 0x63 | 1 << 63, "the contents stay");
    assert_eq!(vcpu.switch().tables(), before + 1, "and it is counted once");
}

#[test]
fn a_start_leaves_a_trap_frame_for_the_next_run_and_is_done_once() {
    let mut vcpu = vcpu();
    let entry = 0xffff_ffff_8100_0000;
    let start = [ROOT, entry, 0x1234, 0x5678];
    let in_the_slot = [ROOT, 0xffff_8000_0020_0000, 0, 0];
    assert_eq!(
        operate(&mut vcpu, OP_START, in_the_slot),
        refused(E_ADDRESS)
    );
    assert_eq!(operate(&mut vcpu, OP_START, start), OK);
    assert_eq!(operate(&mut vcpu, OP_START, start), refused(E_STATE));
    let state = vcpu.state();
    assert_eq!(state.root, ROOT);
    let resume = state.resume_rsp;
    let end = resume + 7 * 8 + size_of::<TrapFrame>() as u64;
    assert!(end <= vcpu.address_of(VCPU_STACK_TOP) - 0x3000);
    // SAFETY: in the area, where the trap frame was put.
    let (registers, trap) = unsafe {
        let at = std::ptr::with_exposed_provenance::<[u64; 7]>(resume as usize);
        (at.read(), at.add(1).cast::<TrapFrame>().read())
    };
    let return_to = gates::trap_return_address();
    assert_eq!(registers, [0, 0, 0, 0, 0, 0, return_to]);
    let expected = TrapFrame {
        rdi: 0x5678,
        rip: entry,
        cs_and_pkrs: SEL_KERNEL_CS | PKRS_GUEST << 32,
        rflags: 0x202,
        rsp: 0x1234,
        ss: SEL_KERNEL_DS,
        ..TrapFrame::default()
    };
    assert_eq!(trap, expected);
}

#[test]
fn i9_the_tables_keep_interrupts_on_and_events_on_stacks_of_their_own() {
    let mut vcpu = new_vcpu();
    const IF: u64 = 1 << 9;
    let [_, _, mask] = vcpu.state().syscall_msrs;
    assert_eq!(mask & IF, 0);
    for ist in 1..=IST_COUNT {
        let word = 7 + 2 * ist as usize;
        let tss = vcpu.tss();
        let top = u64::from(tss[word]) | u64::from(tss[word + 1]) << 32;
        assert_eq!(
            top,
            vcpu.address_of(VCPU_IST_TOP + (ist - 1) * VCPU_IST_STRIDE)
        );
    }
    // Present, privileged and with a stack of its own: every vector, before the guest has a handler.
    for (vector, gate) in vcpu.idt().iter().enumerate() {
        assert_ne!(gate[0] >> 32 & 7, 0, "IST of vector {vector}");
        assert_ne!(gate[0] & 1 << 47, 0, "vector {vector} is present");
    }
}

/// So that IN and OUT fault in user mode, too, where IOPL is 0 (Intel SDM Vol. 1, 19.5.2).
#[test]
fn the_tss_has_no_bitmap_of_ports() {
    let mut vcpu = new_vcpu();
    let bitmap = u64::from(vcpu.tss()[25] >> 16);
    // Of the two words of the descriptor, the first has the limit's lower bits, and bits 19:16 in bits 51:48.
    let descriptor = vcpu.gdt()[SEL_TSS as usize / 8];
    let limit = descriptor & 0xffff | descriptor >> 32 & 0xf_0000;
    assert!(bitmap > limit, "{bitmap} is in a TSS of {limit} and a byte");
}

#[test]
fn a_cpu_that_is_not_as_the_rules_assume_is_not_entered() {
    let vcpu = new_vcpu();
    PINNED.set(false);
    // SAFETY: the test does not use its own meanwhile.
    assert_eq!(unsafe { check_entry(vcpu.address()) }, 1);
    let (exit, [why, ..]) = vcpu.switch().exit();
    assert_eq!((exit, why), (KSM_EXIT_MONITOR_FAULT, FAULT_NOT_PINNED));
    PINNED.set(true);
    // SAFETY: as above.
    assert_eq!(unsafe { check_entry(vcpu.address()) }, 0);
}
