// SPDX-License-Identifier: MIT OR Apache-2.0

//! I8 Returns and I9 Interrupts: what the monitor returns to, and what it puts into GDT and IDT.

use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::{DIRECT_MAP, GATE_CALL, GATE_IRET, IST_COUNT, SLOT_BASE, SLOT_END};
use cki_abi::selectors::*;
use cki_abi::vcpu::ReturnState;
use cki_ksm_core::Refusal;
use cki_ksm_core::descriptor::{self, Owner};
use cki_ksm_core::event::{Delivery, EntryCode, ReturnWindow, entry_address, entry_range};
use cki_ksm_core::iret::{FLAG_INTERRUPT, check};

const KERNEL_RIP: u64 = 0xffff_ffff_8100_0000;
const USER_RIP: u64 = 0x0000_5555_5555_5000;
/// IF and the bit that is always 1.
const FLAGS: u64 = 0x202;

fn state(cs: u64, ss: u64) -> ReturnState {
    let rip = if cs == SEL_KERNEL_CS {
        KERNEL_RIP
    } else {
        0x1000
    };
    ReturnState {
        rip,
        cs,
        ss,
        rflags: FLAGS,
        rsp: 0x7000,
        ..ReturnState::default()
    }
}

#[test]
fn i8_only_the_fixed_selectors_are_returned_to() {
    let good = [
        (SEL_KERNEL_CS, SEL_KERNEL_DS),
        (SEL_KERNEL_CS, 0),
        (SEL_USER_CS, SEL_USER_DS),
        (SEL_USER32_CS, SEL_USER_DS),
    ];
    for cs in 0..0x100 {
        for ss in 0..0x100 {
            let outcome = check(&state(cs, ss)).map(|_| ());
            let expected = if good.contains(&(cs, ss)) {
                Ok(())
            } else {
                Err(Refusal::Return)
            };
            assert_eq!(outcome, expected, "CS {cs:#x} SS {ss:#x}");
        }
    }
}

#[test]
fn i8_the_upper_bits_of_the_selector_slots_are_not_the_guests() {
    // Bits 63:32 of CS are where the CPU finds the PKRS to restore.
    for upper in [1 << 16, 1 << 32, PKRS_GUEST << 32, 1 << 63] {
        for (cs, ss) in [(SEL_KERNEL_CS, SEL_KERNEL_DS), (SEL_USER_CS, SEL_USER_DS)] {
            assert_eq!(check(&state(cs | upper, ss)), Err(Refusal::Return));
            assert_eq!(check(&state(cs, ss | upper)), Err(Refusal::Return));
        }
    }
}

#[test]
fn i8_the_guests_pkrs_is_restored() {
    for (cs, ss) in [
        (SEL_KERNEL_CS, 0),
        (SEL_USER_CS, SEL_USER_DS),
        (SEL_USER32_CS, SEL_USER_DS),
    ] {
        let returned = check(&state(cs, ss)).expect("a good state");
        assert_eq!(returned.cs_and_pkrs, cs | PKRS_GUEST << 32);
    }
}

#[test]
fn i8_flags_are_judged_bit_by_bit() {
    // Intel SDM Vol. 1 3.4.3.1: status flags, TF, DF, RF, AC, ID.
    let free = [0, 2, 4, 6, 7, 8, 10, 11, 16, 18, 21];
    for bit in 0..64 {
        let set = check(&ReturnState {
            rflags: FLAGS | 1 << bit,
            ..state(SEL_KERNEL_CS, SEL_KERNEL_DS)
        });
        let allowed = free.contains(&bit) || FLAGS & 1 << bit != 0;
        assert_eq!(set.is_ok(), allowed, "RFLAGS bit {bit}");
    }
}

#[test]
fn i9_nothing_is_returned_to_with_interrupts_off() {
    for (cs, ss) in [(SEL_KERNEL_CS, 0), (SEL_USER_CS, SEL_USER_DS)] {
        let off = ReturnState {
            rflags: FLAGS & !FLAG_INTERRUPT,
            ..state(cs, ss)
        };
        assert_eq!(check(&off), Err(Refusal::Return));
    }
}

#[test]
fn i8_rip_is_canonical() {
    let at = |rip, cs, ss| {
        check(&ReturnState {
            rip,
            ..state(cs, ss)
        })
        .is_ok()
    };
    for (rip, canonical) in [
        (0, true),
        (0x0000_7fff_ffff_ffff, true),
        (0x0000_8000_0000_0000, false),
        (0xffff_7fff_ffff_ffff, false),
        (0xffff_8000_0000_0000, true),
        (u64::MAX, true),
        (1 << 62, false),
    ] {
        assert_eq!(at(rip, SEL_KERNEL_CS, 0), canonical, "{rip:#x} at CPL 0");
        assert_eq!(
            at(rip, SEL_USER_CS, SEL_USER_DS),
            canonical,
            "{rip:#x} at CPL 3"
        );
    }
    assert!(at(0xffff_ffff, SEL_USER32_CS, SEL_USER_DS));
    assert!(
        !at(0x1_0000_0000, SEL_USER32_CS, SEL_USER_DS),
        "beyond the segment's limit"
    );
}

/// Type, DPL, IST, privileged bit of a gate.
fn decode(gate: [u64; 2]) -> (u64, u64, u64, bool) {
    (
        gate[0] >> 40 & 0x1f,
        gate[0] >> 45 & 3,
        gate[0] >> 32 & 7,
        gate[0] >> 35 & 1 != 0,
    )
}

#[test]
fn i9_guest_gates_are_trap_gates_without_privilege() {
    for vector in 0..256 {
        match (
            descriptor::guest_gate(vector, KERNEL_RIP),
            descriptor::owner(vector),
        ) {
            (Ok(gate), Owner::Guest) => {
                let (kind, dpl, ist, privileged) = decode(gate);
                assert_eq!(
                    kind, 0xf,
                    "vector {vector}: an interrupt gate would clear IF"
                );
                assert_eq!((ist, privileged), (0, false), "vector {vector}");
                assert_eq!(dpl, if [3, 4].contains(&vector) { 3 } else { 0 });
                assert_eq!(gate[0] >> 16 & 0xffff, SEL_KERNEL_CS);
                let address = gate[0] & 0xffff | gate[0] >> 32 & 0xffff_0000 | gate[1] << 32;
                assert_eq!(address, KERNEL_RIP);
            }
            (outcome, _) => assert_eq!(outcome, Err(Refusal::Argument), "vector {vector}"),
        }
    }
}

#[test]
fn i9_what_must_reach_the_host_is_never_the_guests() {
    for vector in [1, 2, 8, 18].into_iter().chain(32..256) {
        assert!(
            matches!(descriptor::owner(vector), Owner::Monitor { .. }),
            "vector {vector}"
        );
    }
}

#[test]
fn i7_monitor_gates_are_privileged_and_have_a_stack_of_their_own() {
    for vector in 0..256 {
        if let Owner::Monitor { ist } = descriptor::owner(vector) {
            let gate = descriptor::monitor_gate(vector, GATE_CALL).expect("the monitor's");
            assert_eq!(decode(gate), (0xe, 0, ist, true), "vector {vector}");
            assert!((1..=IST_COUNT).contains(&ist));
        } else {
            assert_eq!(
                descriptor::monitor_gate(vector, GATE_CALL),
                Err(Refusal::Argument)
            );
        }
    }
}

#[test]
fn handlers_and_stacks_are_addresses_outside_of_the_monitor() {
    for address in [0x1000, USER_RIP, KERNEL_RIP, SLOT_END, u64::MAX] {
        assert_eq!(entry_address(address), Ok(address), "{address:#x}");
    }
    for address in [
        SLOT_BASE,
        GATE_CALL,
        DIRECT_MAP,
        SLOT_END - 16,
        1 << 47,
        1 << 63,
    ] {
        assert_eq!(
            entry_address(address),
            Err(Refusal::Address),
            "{address:#x}"
        );
        assert_eq!(descriptor::guest_gate(14, address), Err(Refusal::Address));
        assert_eq!(descriptor::stack(address), Err(Refusal::Address));
    }
    assert_eq!(
        descriptor::stack(KERNEL_RIP + 8),
        Err(Refusal::Argument),
        "misaligned"
    );
    assert_eq!(descriptor::guest_gate(14, 0), Ok([0, 0]), "removed");
}

#[test]
fn tls_descriptors_are_data_segments_of_user_mode() {
    let data: u64 = 0x00cf_f200_0000_ffff;
    let accessed = 1 << 40;
    assert_eq!(descriptor::tls(0, data), Ok((12, data | accessed)));
    assert_eq!(descriptor::tls(2, 0), Ok((14, 0)));
    assert_eq!(descriptor::tls(3, data), Err(Refusal::Argument));
    for (what, bad) in [
        ("code", data | 1 << 43),
        ("system (a call gate, an LDT, a TSS)", data & !(1 << 44)),
        ("DPL 0", data & !(3 << 45)),
        ("DPL 1", data & !(2 << 45)),
        ("absent", data & !(1 << 47)),
        ("long", data | 1 << 53),
    ] {
        assert_eq!(descriptor::tls(0, bad), Err(Refusal::Argument), "{what}");
    }
}

#[test]
fn the_gdt_never_needs_a_write_by_the_cpu() {
    let gdt = descriptor::gdt(5);
    for (slot, descriptor) in gdt.iter().enumerate() {
        let segment = *descriptor >> 44 & 1 != 0 && *descriptor >> 47 & 1 != 0;
        assert!(
            !segment || *descriptor >> 40 & 1 != 0,
            "slot {slot} has no accessed bit"
        );
    }
    for (selector, dpl) in [
        (SEL_KERNEL_CS, 0),
        (SEL_KERNEL_DS, 0),
        (SEL_USER32_CS, 3),
        (SEL_USER_DS, 3),
        (SEL_USER_CS, 3),
        (SEL_USER_CPU_NUMBER, 3),
        (SEL_VCPU_NUMBER, 0),
        (SEL_TSS, 0),
    ] {
        let descriptor = gdt[selector as usize / 8];
        assert_ne!(descriptor >> 47 & 1, 0, "{selector:#x} is present");
        assert_eq!(descriptor >> 45 & 3, dpl, "{selector:#x}");
        assert_eq!(selector & 3, dpl, "{selector:#x}");
    }
    for (selector, long) in [(SEL_KERNEL_CS, 1), (SEL_USER_CS, 1), (SEL_USER32_CS, 0)] {
        assert_eq!(gdt[selector as usize / 8] >> 53 & 1, long, "{selector:#x}");
    }
    for selector in [SEL_VCPU_NUMBER, SEL_USER_CPU_NUMBER] {
        assert_eq!(
            gdt[selector as usize / 8] & 0xffff,
            5,
            "LSL gives the vCPU's number"
        );
        assert_eq!(gdt[selector as usize / 8] >> 48 & 0x8f, 0, "in bytes");
    }
}

#[test]
fn i7_ring_0_has_one_code_segment_and_nothing_has_a_call_gate() {
    for (slot, descriptor) in descriptor::gdt(0).into_iter().enumerate() {
        let (present, segment) = (descriptor >> 47 & 1 != 0, descriptor >> 44 & 1 != 0);
        if !present || slot == 9 {
            continue;
        }
        if !segment {
            assert_eq!(
                (slot, descriptor >> 40 & 0xf),
                (8, 9),
                "the TSS is the only system segment"
            );
        } else if descriptor >> 43 & 1 != 0 {
            assert_eq!(descriptor >> 42 & 1, 0, "slot {slot} is conforming");
            let ring0 = descriptor >> 45 & 3 == 0;
            assert_eq!(ring0, slot == SEL_KERNEL_CS as usize / 8, "slot {slot}");
        }
    }
}

const CHECK: u64 = KERNEL_RIP + 0x100;
const RETURN: u64 = KERNEL_RIP + 0x120;
const UNDO: u64 = KERNEL_RIP + 0x140;

fn entry_code() -> EntryCode {
    let (start, end) = entry_range(KERNEL_RIP, KERNEL_RIP + 0x1000).expect("an ordered range");
    let sysret = ReturnWindow::new(CHECK, RETURN, UNDO).expect("ordered addresses");
    let iret = ReturnWindow::new(CHECK + 0x200, RETURN + 0x200, UNDO + 0x200).expect("the same");
    EntryCode {
        start,
        end,
        returns: [sysret, iret],
    }
}

#[test]
fn events_are_delivered_to_user_mode_and_to_a_kernel_that_allows_them() {
    let code = entry_code();
    assert_eq!(code.decide(true, USER_RIP, false), Delivery::User);
    assert_eq!(
        code.decide(true, KERNEL_RIP, false),
        Delivery::User,
        "CPL 3 anywhere"
    );
    let outside = KERNEL_RIP + 0x1000;
    assert_eq!(code.decide(false, outside, true), Delivery::Kernel);
    assert_eq!(code.decide(false, outside, false), Delivery::Hold);
    assert_eq!(code.decide(false, KERNEL_RIP, true), Delivery::Hold);
    assert_eq!(code.decide(false, GATE_CALL, true), Delivery::Hold);
}

#[test]
fn no_event_is_lost_between_the_last_look_and_the_return_to_user_mode() {
    let code = entry_code();
    for window in [0, 0x200] {
        for rip in CHECK..RETURN {
            assert_eq!(
                code.decide(false, rip + window, false),
                Delivery::Restart(CHECK + window)
            );
        }
        assert_eq!(
            code.decide(false, RETURN + window, false),
            Delivery::Restart(UNDO + window),
            "SWAPGS has been executed"
        );
        for rip in [CHECK - 1, RETURN + 1, UNDO] {
            assert_eq!(code.decide(false, rip + window, false), Delivery::Hold);
        }
    }
}

#[test]
fn a_vcpu_without_returns_of_its_own_restarts_nothing() {
    let code = EntryCode {
        returns: Default::default(),
        ..entry_code()
    };
    assert_eq!(code.decide(false, CHECK, false), Delivery::Hold);
    assert_eq!(EntryCode::default().decide(false, 0, false), Delivery::Hold);
}

#[test]
fn entry_code_is_an_ordered_range_outside_of_the_monitor() {
    let k = KERNEL_RIP;
    assert_eq!(entry_range(0, 0), Ok((0, 0)));
    assert_eq!(entry_range(k, k), Err(Refusal::Argument));
    assert_eq!(entry_range(k + 1, k), Err(Refusal::Argument));
    for [start, end] in [
        [SLOT_BASE, k],
        [k, 1 << 47],
        [0x1000, k],
        [SLOT_BASE - 1, SLOT_BASE],
    ] {
        assert_eq!(entry_range(start, end), Err(Refusal::Address));
    }
}

#[test]
fn a_return_window_is_ordered_and_outside_of_the_monitor() {
    let k = KERNEL_RIP;
    assert_eq!(ReturnWindow::new(0, 0, 0), Ok(ReturnWindow::default()));
    assert_eq!(ReturnWindow::new(k + 1, k, k), Err(Refusal::Argument));
    for [check, leave, undo] in [[SLOT_BASE, k, k], [k, 1 << 47, k], [k, k, GATE_IRET]] {
        assert_eq!(ReturnWindow::new(check, leave, undo), Err(Refusal::Address));
    }
}

#[test]
fn entry_code_may_not_span_the_monitors_slot() {
    let (low, high) = (USER_RIP, SLOT_END);
    assert_eq!(entry_range(low, high + 8), Err(Refusal::Address));
    assert_eq!(entry_range(low, high), Err(Refusal::Address));
    assert!(entry_range(low, low + 8).is_ok());
    assert!(entry_range(high, high + 8).is_ok());
}
