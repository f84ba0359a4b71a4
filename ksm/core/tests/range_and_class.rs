// SPDX-License-Identifier: MIT OR Apache-2.0

//! I1 Range and I2 Class: what a leaf may map.

mod common;

use cki_abi::start_info::Segment;
use cki_ksm_core::Refusal;
use common::*;

/// A world with an L1, an L2 and an L3 of the kernel's, and an L1 of the user's.
fn tables() -> (World, [u64; 4]) {
    let mut world = World::new();
    let tables = [PT, PT + PAGE, PT + 2 * PAGE, PT + 3 * PAGE];
    for (table, level, user) in [
        (tables[0], 1, false),
        (tables[1], 2, false),
        (tables[2], 3, false),
        (tables[3], 1, true),
    ] {
        world.declare(table, level, user).expect("declare");
    }
    (world, tables)
}

#[test]
fn own_memory_can_be_mapped() {
    let (mut world, [l1, l2, l3, user]) = tables();
    assert_eq!(world.set(l1, 0, DATA | P | W | NX), Ok(()));
    assert_eq!(world.set(user, 0, DATA | P | W | U | NX), Ok(()));
    assert_eq!(world.set(l2, 0, DATA | P | W | PS | NX), Ok(()));
    assert_eq!(world.set(l3, 0, l2 | P | W | U), Ok(()));
    assert_eq!(world.entry(l1, 0), DATA | P | W | NX);
}

#[test]
fn pages_of_1_gib_are_refused_whatever_they_map() {
    let (mut world, [_, l2, l3, _]) = tables();
    for value in [HIGH | P | W | PS | NX, HIGH | P | PS | NX, l2 | P | W | PS] {
        assert_eq!(world.set(l3, 0, value), Err(Refusal::Bits), "{value:#x}");
        assert_eq!(
            world.monitor.exchange_entry(l3, value),
            Err(Refusal::Bits),
            "{value:#x}"
        );
    }
    let frame = world.frame(PT + 9 * PAGE);
    world.memory.poke(frame, 7, HIGH | P | PS | NX);
    assert_eq!(world.adopt(PT + 9 * PAGE, 3, false), Err(Refusal::Bits));
}

#[test]
fn i1_host_memory_cannot_be_mapped() {
    let (mut world, [l1, l2, l3, user]) = tables();
    for hpa in [
        0,
        HOST,
        MONITOR_TABLE,
        LOW - PAGE,
        LOW + 5 * MIB2,
        HIGH - PAGE,
        HIGH + 2 * GIB,
    ] {
        assert_eq!(
            world.set(l1, 0, hpa | P | NX),
            Err(Refusal::Range),
            "{hpa:#x}"
        );
        assert_eq!(
            world.set(user, 0, hpa | P | U),
            Err(Refusal::Range),
            "{hpa:#x}"
        );
    }
    assert_eq!(
        world.set(l2, 0, (LOW - MIB2) | P | PS | NX),
        Err(Refusal::Range)
    );
    assert_eq!(
        world.set(l2, 0, (HIGH + 2 * GIB) | P | PS | NX),
        Err(Refusal::Range)
    );
    assert_eq!(
        world.set(l3, 0, (HIGH + 2 * GIB) | P | W),
        Err(Refusal::Range)
    );
    assert_eq!(world.entry(l1, 0), 0, "a refusal stores nothing");
}

#[test]
fn i1_address_bits_above_the_machines_memory_are_not_ignored() {
    let (mut world, [l1, ..]) = tables();
    for bit in 36..52 {
        assert_eq!(
            world.set(l1, 0, DATA | 1 << bit | P | NX),
            Err(Refusal::Range),
            "bit {bit}"
        );
    }
}

#[test]
fn i1_a_superpage_must_lie_in_the_segment_with_its_last_byte() {
    let (mut world, [_, l2, ..]) = tables();
    // The last chunk of each segment, and the one behind it.
    for end in [LOW + 5 * MIB2, HIGH + 2 * GIB] {
        assert_eq!(world.set(l2, 0, (end - MIB2) | P | PS | NX), Ok(()));
        assert_eq!(world.set(l2, 0, end | P | PS | NX), Err(Refusal::Range));
    }
}

#[test]
fn every_address_is_found_in_its_segment_however_many_there_are_and_whichever_is_the_largest() {
    for (count, largest) in [(1, 0), (2, 0), (2, 1), (3, 1), (31, 0), (32, 17), (32, 31)] {
        let segment = |i: u64| Segment {
            base: LOW + 3 * i * MIB2,
            size: if i == largest { 2 * MIB2 } else { MIB2 },
        };
        let list: Vec<_> = (0..count).map(segment).collect();
        let world = World::with(&list, &[], 1);
        let mut first = 0;
        for segment in &list {
            let end = segment.base + segment.size;
            let frames = (segment.size / PAGE) as usize;
            let found = |hpa| world.monitor.segments().find(hpa).map(|f| f.index());
            assert_eq!(found(segment.base), Some(first));
            assert_eq!(found(end - 1), Some(first + frames - 1));
            assert_eq!(found(segment.base - 1), None);
            assert_eq!(found(end), None);
            let span = |hpa, size| world.monitor.segments().find_span(hpa, size).is_some();
            assert!(span(segment.base, segment.size) && span(end - PAGE, PAGE));
            assert!(!span(segment.base, segment.size + 1) && !span(end - PAGE, PAGE + 1));
            first += frames;
        }
        assert_eq!(world.monitor.segments().find(0), None);
        assert_eq!(world.monitor.segments().find(u64::MAX), None);
    }
}

#[test]
fn i1_an_entry_outside_of_the_segments_cannot_be_named() {
    let (mut world, _) = tables();
    for hpa in [
        0,
        HOST,
        MONITOR_TABLE,
        SHARED,
        LOW - 8,
        HIGH + 2 * GIB,
        u64::MAX - 7,
    ] {
        assert_eq!(
            world.monitor.set_entry(hpa, 0),
            Err(Refusal::Range),
            "{hpa:#x}"
        );
    }
    assert_eq!(world.monitor.set_entry(PT + 4, 0), Err(Refusal::Argument));
}

#[test]
fn shared_frames_can_only_be_read() {
    let (mut world, [l1, l2, _, user]) = tables();
    assert_eq!(world.set(l1, 0, SHARED | P | NX), Ok(()));
    assert_eq!(world.set(user, 0, SHARED | P | U | NX), Ok(()));
    assert_eq!(world.set(l1, 1, SHARED | P | W | NX), Err(Refusal::Class));
    assert_eq!(
        world.set(user, 1, SHARED | P | W | U | NX),
        Err(Refusal::Class)
    );
    assert_eq!(world.set(l1, 1, SHARED | P), Err(Refusal::Execute));
    assert_eq!(world.set(user, 1, SHARED | P | U), Err(Refusal::Execute));
    let large = SHARED & !(MIB2 - 1);
    assert_eq!(world.set(l2, 0, large | P | PS | NX), Err(Refusal::Range));
}

#[test]
fn i2_page_tables_text_and_constants_are_never_writable() {
    let (mut world, [l1, l2, _, user]) = tables();
    world.seal(EXEC, 1).expect("zeros are harmless");
    for hpa in [PT, PT + 9 * PAGE, EXEC, EXEC + PAGE, RO] {
        assert_eq!(
            world.set(l1, 0, hpa | P | W | NX),
            Err(Refusal::Class),
            "{hpa:#x}"
        );
        assert_eq!(
            world.set(user, 0, hpa | P | W | U | NX),
            Err(Refusal::Class),
            "{hpa:#x}"
        );
        assert_eq!(
            world.set(l1, 0, hpa | P | NX),
            Ok(()),
            "reading is allowed: {hpa:#x}"
        );
    }
    for hpa in [ALL_PT, ALL_EXEC, ALL_RO] {
        assert_eq!(
            world.set(l2, 0, hpa | P | W | PS | NX),
            Err(Refusal::Class),
            "{hpa:#x}"
        );
        assert_eq!(world.set(l2, 0, hpa | P | PS | NX), Ok(()), "{hpa:#x}");
    }
}

#[test]
fn i2_a_superpage_of_several_classes_is_refused_even_to_read() {
    let (mut world, [_, l2, ..]) = tables();
    assert_eq!(world.set(l2, 0, PT | P | PS | NX), Err(Refusal::Class));
    assert_eq!(world.set(l2, 0, PT | P | W | PS | NX), Err(Refusal::Class));
}

#[test]
fn i2_writability_cannot_come_back_by_a_flag_change() {
    let (mut world, [l1, ..]) = tables();
    world.set(l1, 0, PT | P | NX).expect("read-only");
    let entry = l1;
    assert_eq!(world.set(l1, 0, PT | P | W | NX), Err(Refusal::Class));
    assert_eq!(
        world.monitor.exchange_entry(entry, PT | P | W | NX),
        Err(Refusal::Class)
    );
    assert_eq!(
        world
            .monitor
            .compare_exchange_entry(entry, PT | P | NX, PT | P | W | NX),
        Err((Refusal::Class, 0))
    );
    assert_eq!(world.entry(l1, 0), PT | P | NX);
}

#[test]
fn memory_types_and_global_are_refused_at_every_level() {
    let (mut world, [l1, l2, l3, user]) = tables();
    for bit in [3, 4, 8] {
        assert_eq!(
            world.set(l1, 0, DATA | P | NX | 1 << bit),
            Err(Refusal::Bits)
        );
        assert_eq!(
            world.set(user, 0, DATA | P | U | 1 << bit),
            Err(Refusal::Bits)
        );
        assert_eq!(
            world.set(l2, 0, DATA | P | PS | NX | 1 << bit),
            Err(Refusal::Bits)
        );
        assert_eq!(world.set(l2, 0, l1 | P | 1 << bit), Err(Refusal::Bits));
    }
    assert_eq!(
        world.set(l1, 0, DATA | P | NX | 1 << 7),
        Err(Refusal::Bits),
        "PAT at level 1"
    );
    assert_eq!(
        world.set(l2, 0, DATA | P | PS | NX | 1 << 12),
        Err(Refusal::Bits),
        "PAT at level 2"
    );
    assert_eq!(world.set(l3, 0, l2 | P | 1 << 8), Err(Refusal::Bits));
}

#[test]
fn reserved_address_bits_of_superpages_are_refused() {
    let (mut world, [_, l2, ..]) = tables();
    for bit in 13..21 {
        assert_eq!(
            world.set(l2, 0, DATA | 1 << bit | P | PS | NX),
            Err(Refusal::Bits)
        );
    }
}

#[test]
fn software_bits_are_free() {
    let (mut world, [l1, l2, ..]) = tables();
    let soft = 0x07f0_0000_0000_0e00;
    assert_eq!(world.set(l1, 0, DATA | P | NX | A | D | soft), Ok(()));
    assert_eq!(world.set(l2, 0, l1 | P | W | U | A | D | soft), Ok(()));
}

#[test]
fn what_is_not_present_may_say_anything() {
    let (mut world, [l1, l2, ..]) = tables();
    assert_eq!(world.set(l1, 0, !P), Ok(()));
    assert_eq!(world.set(l2, 0, !P), Ok(()));
    assert_eq!(world.entry(l1, 0), !P);
}
