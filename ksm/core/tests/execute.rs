// SPDX-License-Identifier: MIT OR Apache-2.0

//! I3 Execute: what CPL 0 can fetch, user bits, protection keys, control registers.

mod common;

use cki_abi::control::*;
use cki_ksm_core::{Refusal, pinned};
use common::*;

fn kernel_and_user() -> (World, u64, u64) {
    let mut world = World::small(1);
    world.declare(PT, 1, false).expect("kernel L1");
    world.declare(PT + PAGE, 1, true).expect("user L1");
    (world, PT, PT + PAGE)
}

#[test]
fn i3_only_sealed_exec_frames_execute_at_cpl_0() {
    let (mut world, kernel, _) = kernel_and_user();
    for hpa in [DATA, PT + 8 * PAGE, RO, EXEC] {
        assert_eq!(
            world.set(kernel, 0, hpa | P),
            Err(Refusal::Execute),
            "{hpa:#x}"
        );
    }
    world.seal(EXEC, 1).expect("seal");
    assert_eq!(world.set(kernel, 0, EXEC | P), Ok(()));
    assert_eq!(
        world.set(kernel, 1, (EXEC + PAGE) | P),
        Err(Refusal::Execute),
        "not sealed"
    );
}

#[test]
fn i3_a_user_bit_does_not_make_a_kernel_leaf_executable() {
    let (mut world, kernel, _) = kernel_and_user();
    assert_eq!(
        world.set(kernel, 0, DATA | P | W | U),
        Err(Refusal::Execute)
    );
    assert_eq!(world.set(kernel, 0, DATA | P | W | U | NX), Ok(()));
}

#[test]
fn i3_writable_and_executable_exclude_each_other() {
    let (mut world, kernel, _) = kernel_and_user();
    world.seal(EXEC, 1).expect("seal");
    assert_eq!(world.set(kernel, 0, EXEC | P | W), Err(Refusal::Class));
}

#[test]
fn i3_user_programs_may_execute_their_memory() {
    let (mut world, _, user) = kernel_and_user();
    assert_eq!(world.set(user, 0, DATA | P | W | U), Ok(()));
}

#[test]
fn i3_every_entry_of_a_user_table_has_the_user_bit() {
    let mut world = World::small(1);
    let [l1, l2, l3, l4] = world.tower(PT, 3);
    assert_eq!(world.set(l1, 1, DATA | P | W), Err(Refusal::Execute));
    assert_eq!(world.set(l1, 1, DATA | P | W | NX), Err(Refusal::Execute));
    assert_eq!(world.set(l2, 0, l1 | P | W), Err(Refusal::Execute));
    assert_eq!(world.set(l3, 0, l2 | P | W), Err(Refusal::Execute));
    assert_eq!(world.set(l4, 3, l3 | P | W), Err(Refusal::Execute));
    assert_eq!(
        world.set(l2, 1, DATA | P | W | PS | NX),
        Err(Refusal::Execute)
    );
}

#[test]
fn i3_a_superpage_executes_only_when_all_its_frames_are_sealed() {
    let mut world = World::small(1);
    world.declare(PT, 2, false).expect("declare");
    for first in (0..512).step_by(16) {
        assert_eq!(
            world.set(PT, 0, ALL_EXEC | P | PS),
            Err(Refusal::Execute),
            "{first} sealed"
        );
        world.seal(ALL_EXEC + first * PAGE, 16).expect("seal");
    }
    assert_eq!(world.set(PT, 0, ALL_EXEC | P | PS), Ok(()));
    assert_eq!(world.set(PT, 1, ALL_RO | P | PS), Err(Refusal::Execute));
    assert_eq!(world.set(PT, 1, DATA | P | PS), Err(Refusal::Execute));
}

#[test]
fn supervisor_pages_have_key_0() {
    let (mut world, kernel, user) = kernel_and_user();
    for key in 1..16 {
        let entry = DATA | P | W | NX | key << 59;
        assert_eq!(world.set(kernel, 0, entry), Err(Refusal::Key), "key {key}");
        assert_eq!(
            world.set(kernel, 0, entry | U),
            Err(Refusal::Key),
            "key {key} with U"
        );
        assert_eq!(
            world.set(user, 0, entry | U),
            Ok(()),
            "user keys are the guest's"
        );
    }
}

#[test]
fn links_have_no_key() {
    let mut world = World::small(1);
    let [l1, l2, ..] = world.tower(PT, 3);
    for key in 1..16 {
        assert_eq!(
            world.set(l2, 1, l1 | P | W | U | key << 59),
            Err(Refusal::Bits)
        );
    }
}

/// Outcomes of [`pinned::check`] with each bit flipped that is not free.
fn flipped(register: &str, free: u64, check: impl Fn(u64) -> Result<(), Refusal>) {
    for bit in 0..64 {
        let expected = if free >> bit & 1 != 0 {
            Ok(())
        } else {
            Err(Refusal::Monitor)
        };
        assert_eq!(check(1 << bit), expected, "{register} bit {bit}");
    }
}

#[test]
fn i3_the_cpu_must_have_every_pinned_control_bit_and_no_other() {
    let (cr0, cr4, efer) = (CR0_PINNED, CR4_PINNED, EFER_PINNED);
    for pcids in [false, true] {
        let cr4 = cr4 | if pcids { CR4_PCIDE } else { 0 };
        assert_eq!(pinned::check(cr0, cr4, efer, pcids), Ok(()));
        assert_eq!(
            pinned::check(cr0, cr4, efer, !pcids),
            Err(Refusal::Monitor),
            "PCIDE"
        );
        flipped("CR0", 0, |bit| pinned::check(cr0 ^ bit, cr4, efer, pcids));
        flipped("CR4", CR4_FREE, |bit| {
            pinned::check(cr0, cr4 ^ bit, efer, pcids)
        });
        flipped("EFER", EFER_FREE, |bit| {
            pinned::check(cr0, cr4, efer ^ bit, pcids)
        });
    }
}

/// The bits by name, so that the constants themselves are looked at twice.
#[test]
fn i3_the_pinned_bits_are_the_architectures() {
    const WP: u64 = 1 << 16;
    assert_eq!(CR0_PINNED & WP, WP);
    for (bit, name) in [(11, "UMIP"), (20, "SMEP"), (21, "SMAP"), (24, "PKS")] {
        assert_eq!(CR4_PINNED >> bit & 1, 1, "{name}");
    }
    for (bit, name) in [
        (2, "TSD"),
        (8, "PCE"),
        (12, "LA57"),
        (13, "VMXE"),
        (14, "SMXE"),
        (19, "KL"),
        (23, "CET"),
        (25, "UINTR"),
        (27, "LASS"),
        (28, "LAM_SUP"),
        (32, "FRED"),
    ] {
        assert_eq!((CR4_PINNED | CR4_FREE) >> bit & 1, 0, "{name}");
    }
    for (bit, name) in [(3, "DE"), (6, "MCE"), (7, "PGE"), (22, "PKE")] {
        assert_eq!(CR4_FREE >> bit & 1, 1, "{name}");
    }
    assert_eq!(EFER_PINNED >> 11 & 1, 1, "NXE");
    assert_eq!(
        EFER_FREE >> 12 & 1,
        1,
        "SVME: a container goes on where KVM is loaded"
    );
}
