// SPDX-License-Identifier: MIT OR Apache-2.0

//! Defects of other monitors of page tables, tried on this one.
//!
//! Xen's advisories are at xenbits.xen.org/xsa. Each test does to this monitor what the advisory's
//! attacker did.

mod common;

use cki_abi::class::CLASS_PT;
use cki_abi::start_info::{ClassRange, Segment};
use cki_ksm_core::Refusal;
use common::*;

const LINK: u64 = P | W | U | A;

/// XSA-148: the check of a superpage looked at PS but let the rest of it through, so a guest mapped
/// 2 MiB around a frame it owned, writable, with page tables inside.
#[test]
fn xsa_148_a_superpage_is_checked_in_all_its_frames() {
    // The last frame of the first chunk and the first two of the second are page tables: one
    // chunk begins with Data and ends with Pt, the other the other way round.
    let mut world = World::with(
        &[Segment {
            base: LOW,
            size: 2 * MIB2,
        }],
        &[ClassRange {
            base: LOW + MIB2 - PAGE,
            size: 3 * PAGE,
            class: CLASS_PT as u32,
            reserved: 0,
        }],
        1,
    );
    let table = LOW + MIB2 - PAGE;
    world.declare(table, 2, false).expect("L2");
    for base in [LOW, LOW + MIB2] {
        assert_eq!(
            world.set(table, 0, base | P | W | PS | NX),
            Err(Refusal::Class)
        );
    }
}

/// XSA-182: updates that left the address alone and changed only "safe" flags skipped the checks;
/// RW was among them, in an L4 that linked itself.
#[test]
fn xsa_182_there_is_no_shorter_way_for_flags() {
    let mut world = World::small(1);
    let [l1, l2, _, l4] = world.tower(PT, 300);
    world
        .set(l1, 0, l1 | P | NX)
        .expect("the guest may read its tables");
    for flags in [W, W | A, W | D, W | A | D, W | U, W | 1 << 9] {
        let value = l1 | P | NX | flags;
        assert_eq!(world.set(l1, 0, value), Err(Refusal::Class), "{flags:#x}");
        assert_eq!(world.monitor.exchange_entry(l1, value), Err(Refusal::Class));
        let old = l1 | P | NX;
        assert_eq!(
            world.monitor.compare_exchange_entry(l1, old, value),
            Err((Refusal::Class, 0))
        );
    }
    assert_eq!(
        world.monitor.clear_entry_bits(l1, NX),
        Err(Refusal::Argument)
    );
    // A link that becomes a leaf by PS alone maps the table it referred to.
    assert_eq!(world.set(l2, 0, l1 | LINK | PS), Err(Refusal::Class));
    assert_eq!(
        world.set(l4, 301, l4 | P),
        Err(Refusal::Type),
        "the linear map itself"
    );
}

/// XSA-212: a call wrote its results through a pointer of the guest's that was not checked, far
/// behind the array that it named.
#[test]
fn xsa_212_what_a_call_names_is_checked_to_its_end() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("L1");
    for (list, count) in [
        (DATA, u64::MAX / 16 + 2),
        (DATA, 1 << 59),
        (DATA + PAGE - 16, 128),
        (0u64.wrapping_sub(16), 2),
        (LOW + 5 * MIB2 - 16, 2),
        (MONITOR_TABLE, 1),
    ] {
        let (done, outcome) = world.monitor.batch(list, count, &mut world.scratch);
        assert_eq!(done, 0);
        assert!(outcome.is_err(), "{list:#x} {count:#x}");
    }
    for (to, from, length) in [
        (EXEC, DATA, u64::MAX),
        (EXEC + PAGE - 1, DATA, 2),
        (EXEC, u64::MAX, 1),
        (EXEC, HOST, 1),
    ] {
        assert!(
            world
                .monitor
                .poke(to, from, length, &mut world.scratch)
                .is_err()
        );
    }
    assert!(world.monitor.seal(EXEC, u64::MAX).1.is_err());
    assert!(world.monitor.seal(0u64.wrapping_sub(PAGE), 2).1.is_err());
}

/// XSA-213: an unlinked L4 went through an intermediate state in which a failing call left a table
/// with a type but without its references.
#[test]
fn xsa_213_a_call_that_fails_half_way_leaves_types_and_counts_as_they_were() {
    let mut world = World::small(1);
    let [l1, l2, l3, l4] = world.tower(PT, 300);
    let tables = [l1, l2, l3, l4];
    let before = tables.map(|t| world.references(t));
    // Adoptions that fail at the last entry, after every kind of link was counted.
    let table = PT + 0x20 * PAGE;
    for (level, good) in [(2, l1), (3, l2), (4, l3)] {
        let frame = world.frame(table);
        for index in 257..511 {
            world.memory.poke(frame, index, good | LINK);
        }
        world.memory.poke(frame, 511, HOST | LINK);
        assert_eq!(world.adopt(table, level, false), Err(Refusal::Range));
        assert_eq!(tables.map(|t| world.references(t)), before, "L{level}");
        assert_eq!(world.monitor.release(table), Err(Refusal::Type));
    }
    // Refused updates of every sort.
    assert!(world.set(l2, 0, HOST | LINK).is_err());
    assert!(world.monitor.exchange_entry(l3, l1 | LINK).is_err());
    assert!(
        world
            .monitor
            .compare_exchange_entry(l2, !0, l1 | LINK)
            .is_err()
    );
    assert!(world.monitor.load_root(0, l3).is_err());
    assert_eq!(tables.map(|t| world.references(t)), before);
}

/// XSA-214: a frame of one type was handed over and used as another, because the type belonged to the
/// handing over and not to the frame.
#[test]
fn xsa_214_a_frames_class_is_its_own_for_good() {
    let mut world = World::small(2);
    // A Data frame prepared as a page table is never accepted as one.
    world.memory.poke(world.frame(DATA), 0, HOST | P | W | U);
    for level in 1..=4 {
        assert_eq!(world.adopt(DATA, level, false), Err(Refusal::Class));
    }
    // A page table is never writable, whatever it was or will be: declared, released, declared.
    world.declare(PT, 1, true).expect("L1");
    let view = PT + PAGE;
    world.declare(view, 1, true).expect("L1");
    for round in 0..3 {
        assert_eq!(
            world.set(view, 0, PT | P | W | U | NX),
            Err(Refusal::Class),
            "round {round}"
        );
        world.monitor.release(PT).expect("release");
        assert_eq!(
            world.set(view, 0, PT | P | W | U | NX),
            Err(Refusal::Class),
            "released"
        );
        world.flush_everywhere();
        world.declare(PT, 1 + round % 2, true).expect("declare");
    }
}

/// The same race with stale translations: while another vCPU still walks a frame as an L1, it becomes
/// an L2, whose links the old walk reads as writable mappings of page tables.
#[test]
fn xsa_214_a_stale_walk_never_meets_another_kind_of_table() {
    let mut world = World::small(2);
    let [l1, l2, ..] = world.tower(PT, 3);
    // vCPU 1 has the L1 cached from here on.
    world.set(l2, 0, 0).expect("unlink");
    world.monitor.release(l1).expect("release");
    world.flush(0);
    assert_eq!(world.declare(l1, 2, true), Err(Refusal::Stale));
    assert_eq!(world.adopt(l1, 2, true), Err(Refusal::Stale));
    assert_eq!(
        world.declare(l1, 1, false),
        Err(Refusal::Stale),
        "the other half, too"
    );
}

/// XSA-402: a guest gave a page table an uncached alias, so that monitor and walker read different
/// contents.
#[test]
fn xsa_402_page_tables_have_no_uncached_alias() {
    let mut world = World::small(1);
    world.declare(PT, 1, false).expect("L1");
    for memory_type in [1 << 3, 1 << 4, 1 << 7, 3 << 3] {
        assert_eq!(
            world.set(PT, 0, PT | P | NX | memory_type),
            Err(Refusal::Bits)
        );
        assert_eq!(
            world.set(PT, 0, DATA | P | W | NX | memory_type),
            Err(Refusal::Bits)
        );
    }
}
