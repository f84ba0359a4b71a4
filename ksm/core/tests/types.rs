// SPDX-License-Identifier: MIT OR Apache-2.0

//! I4 Types and I5 Root: declaring, linking, counting, releasing, loading tables.

mod common;

use cki_ksm_core::{Kind, Refusal};
use common::*;

const LINK: u64 = P | W | U | A;

#[test]
fn i4_only_pt_frames_become_tables() {
    let mut world = World::small(1);
    for hpa in [DATA, EXEC, RO, MIXED_DATA] {
        assert_eq!(
            world.declare(hpa, 1, false),
            Err(Refusal::Class),
            "{hpa:#x}"
        );
    }
    assert_eq!(world.declare(HOST, 1, false), Err(Refusal::Range));
    assert_eq!(world.declare(PT + 8, 1, false), Err(Refusal::Argument));
    assert_eq!(world.declare(PT, 1, false), Ok(()));
    assert_eq!(world.declare(PT, 1, false), Err(Refusal::Type), "twice");
}

#[test]
fn i4_a_new_table_is_empty_whatever_the_frame_held() {
    let mut world = World::small(1);
    world.memory.poke(world.frame(PT), 7, HOST | P | W);
    world.declare(PT, 1, false).expect("declare");
    assert_eq!(world.entry(PT, 7), 0);
}

#[test]
fn i4_entries_of_undeclared_frames_cannot_be_written() {
    let mut world = World::small(1);
    for hpa in [DATA, PT, EXEC, RO] {
        assert_eq!(world.set(hpa, 0, 0), Err(Refusal::Type), "{hpa:#x}");
        assert_eq!(world.monitor.exchange_entry(hpa, 0), Err(Refusal::Type));
        assert_eq!(
            world.monitor.compare_exchange_entry(hpa, 0, 0),
            Err((Refusal::Type, 0))
        );
        assert_eq!(world.monitor.clear_entry_bits(hpa, A), Err(Refusal::Type));
    }
}

#[test]
fn i4_links_lead_exactly_one_level_down_in_the_same_half() {
    let mut world = World::small(1);
    let kinds: Vec<(u8, bool)> = vec![
        (1, false),
        (2, false),
        (3, false),
        (4, false),
        (1, true),
        (2, true),
        (3, true),
    ];
    let table = |i: usize| PT + i as u64 * PAGE;
    for (i, (level, user)) in kinds.iter().enumerate() {
        world.declare(table(i), *level, *user).expect("declare");
    }
    for (i, &(level, user)) in kinds.iter().enumerate() {
        for (j, &(other, other_user)) in kinds.iter().enumerate() {
            for slot in [0, 255, 257, 511] {
                if level == 1 {
                    continue;
                }
                let half = if level == 4 { slot < 256 } else { user };
                let fits = level < 5 && other + 1 == level && half == other_user;
                let expected = if fits { Ok(()) } else { Err(Refusal::Type) };
                let outcome = world.set(table(i), slot, table(j) | LINK);
                assert_eq!(
                    outcome, expected,
                    "L{level} slot {slot} to L{other} {other_user}"
                );
                if fits {
                    world.set(table(i), slot, 0).expect("unlink");
                }
            }
        }
        // Nor to frames that are no tables at all.
        if level > 1 {
            for hpa in [DATA, EXEC, RO, PT + 0x30 * PAGE] {
                assert_eq!(
                    world.set(table(i), 3, hpa | LINK),
                    Err(Refusal::Type),
                    "{hpa:#x}"
                );
            }
        }
    }
}

#[test]
fn i4_no_table_is_reachable_from_itself() {
    let mut world = World::small(1);
    let [l1, l2, l3, l4] = world.tower(PT, 300);
    for (upper, lower) in [(l2, l2), (l2, l3), (l2, l4), (l3, l4), (l4, l4), (l3, l3)] {
        assert_eq!(world.set(upper, 400, lower | LINK), Err(Refusal::Type));
    }
    assert_eq!(
        world.set(l1, 0, l1 | P | W | NX),
        Err(Refusal::Class),
        "as memory"
    );
}

#[test]
fn i4_references_are_counted_while_linked() {
    let mut world = World::small(1);
    let [l1, l2, l3, l4] = world.tower(PT, 300);
    assert_eq!([l1, l2, l3, l4].map(|t| world.references(t)), [1, 1, 1, 0]);
    world.set(l2, 5, l1 | LINK).expect("second link");
    assert_eq!(world.references(l1), 2);
    world
        .set(l2, 5, l1 | LINK | D)
        .expect("same link, other flags");
    assert_eq!(world.references(l1), 2);
    world
        .set(l2, 5, DATA | P | PS | NX)
        .expect("superpage instead");
    assert_eq!(world.references(l1), 1);
    assert_eq!(
        world.monitor.exchange_entry(l2, 0).map(|old| old & ADDRESS),
        Ok(l1)
    );
    assert_eq!(world.references(l1), 0);
}

#[test]
fn i4_a_failed_compare_exchange_counts_nothing() {
    let mut world = World::small(1);
    let [l1, l2, ..] = world.tower(PT, 300);
    let entry = l2 + 8 * 9;
    assert_eq!(
        world.monitor.compare_exchange_entry(entry, 1, l1 | LINK),
        Err((Refusal::Changed, 0))
    );
    assert_eq!(world.references(l1), 1);
    assert_eq!(
        world.monitor.compare_exchange_entry(entry, 0, l1 | LINK),
        Ok(0)
    );
    assert_eq!(world.references(l1), 2);
    assert_eq!(
        world.monitor.compare_exchange_entry(entry, l1 | LINK, 0),
        Ok(l1 | LINK)
    );
    assert_eq!(world.references(l1), 1);
}

#[test]
fn i4_exchange_returns_the_bits_that_the_walker_set_meanwhile() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("declare");
    let value = DATA | P | W | U | NX;
    world.set(PT, 3, value).expect("map");
    world.memory.poke(world.frame(PT), 3, value | A | D);
    assert_eq!(
        world.monitor.compare_exchange_entry(PT + 24, value, 0),
        Err((Refusal::Changed, value | A | D))
    );
    assert_eq!(world.monitor.exchange_entry(PT + 24, 0), Ok(value | A | D));
}

#[test]
fn i4_a_table_in_use_is_not_released() {
    let mut world = World::small(1);
    let [l1, l2, l3, l4] = world.tower(PT, 300);
    for table in [l1, l2, l3] {
        assert_eq!(world.monitor.release(table), Err(Refusal::Busy));
    }
    world.monitor.load_root(0, l4).expect("load");
    assert_eq!(world.monitor.release(l4), Err(Refusal::Busy), "loaded");
    world
        .declare(PT + 8 * PAGE, 4, false)
        .expect("another root");
    world.monitor.load_root(0, PT + 8 * PAGE).expect("load");
    for table in [l4, l3, l2, l1] {
        assert_eq!(world.monitor.release(table), Ok(()));
    }
    assert_eq!(
        world.monitor.release(l1),
        Err(Refusal::Type),
        "no table any more"
    );
    assert_eq!(world.monitor.release(DATA), Err(Refusal::Type));
}

#[test]
fn i4_a_table_with_too_many_links_is_not_released() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("L1");
    world.declare(PT + PAGE, 2, true).expect("L2");
    let limit = cki_abi::limits::RELEASE_LINKS_MAX;
    for index in 0..=limit {
        world
            .set(PT + PAGE, 511 - 2 * index, PT | LINK)
            .expect("link");
    }
    assert_eq!(world.monitor.release(PT + PAGE), Err(Refusal::Busy));
    assert_eq!(
        world.references(PT),
        limit + 1,
        "a refusal gives up nothing"
    );
    world.set(PT + PAGE, 511, 0).expect("clear one");
    assert_eq!(world.monitor.release(PT + PAGE), Ok(()));
    assert_eq!(world.references(PT), 0);
}

#[test]
fn i4_releasing_a_table_gives_up_all_its_links() {
    let mut world = World::small(1);
    world.declare(PT, 2, true).expect("L2");
    for i in (3..512).step_by(4) {
        world.declare(ALL_PT + i * PAGE, 1, true).expect("L1");
        world.set(PT, i, (ALL_PT + i * PAGE) | LINK).expect("link");
    }
    world.monitor.release(PT).expect("release");
    for i in (3..512).step_by(4) {
        assert_eq!(world.references(ALL_PT + i * PAGE), 0, "entry {i}");
    }
}

#[test]
fn i4_another_kind_needs_a_flush_of_every_vcpu() {
    let mut world = World::small(2);
    world.declare(PT, 1, true).expect("declare");
    world.monitor.release(PT).expect("release");
    for (level, user) in [(1, false), (2, true), (3, true), (4, false)] {
        assert_eq!(
            world.declare(PT, level, user),
            Err(Refusal::Stale),
            "L{level} {user}"
        );
    }
    world.flush(0);
    assert_eq!(
        world.declare(PT, 2, true),
        Err(Refusal::Stale),
        "vCPU 1 has not flushed"
    );
    world.flush(1);
    assert_eq!(world.declare(PT, 2, true), Ok(()));
}

#[test]
fn i4_the_same_kind_needs_no_flush() {
    let mut world = World::small(2);
    for (level, user) in [(1, false), (2, true), (4, false)] {
        let table = PT + u64::from(level) * PAGE;
        world.declare(table, level, user).expect("declare");
        world.monitor.release(table).expect("release");
        assert_eq!(world.declare(table, level, user), Ok(()));
    }
}

#[test]
fn i4_a_flush_that_began_before_the_release_does_not_count() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("declare");
    let flush = world.monitor.begin_flush();
    world
        .monitor
        .release(PT)
        .expect("release, while the flush is under way");
    world.monitor.finish_flush(0, flush).expect("a vCPU");
    assert_eq!(world.declare(PT, 2, true), Err(Refusal::Stale));
}

#[test]
fn i4_an_older_flush_finishing_late_does_not_undo_a_newer_one() {
    let mut world = World::small(1);
    let older = world.monitor.begin_flush();
    world.declare(PT, 1, true).expect("declare");
    world.monitor.release(PT).expect("release");
    world.flush(0);
    world.monitor.finish_flush(0, older).expect("a vCPU");
    assert_eq!(world.declare(PT, 2, true), Ok(()));
}

#[test]
fn i4_loading_a_root_is_no_flush() {
    let mut world = World::small(1);
    let [.., l4] = world.tower(PT, 300);
    world.declare(PT + 9 * PAGE, 1, true).expect("declare");
    world.monitor.release(PT + 9 * PAGE).expect("release");
    world.monitor.load_root(0, l4).expect("load");
    assert_eq!(world.declare(PT + 9 * PAGE, 2, true), Err(Refusal::Stale));
}

#[test]
fn i4_every_vcpu_that_runs_holds_up_a_change_of_kind() {
    let mut world = World::small(2);
    world.declare(PT, 1, true).expect("declare");
    world.monitor.release(PT).expect("release");
    world.flush(0);
    assert_eq!(world.declare(PT, 2, true), Err(Refusal::Stale));
    world.flush(1);
    assert_eq!(world.declare(PT, 2, true), Ok(()));
}

#[test]
fn i4_a_vcpu_that_starts_later_has_nothing_older_cached() {
    let mut world = World::small_and_started(2, 1);
    world.declare(PT, 1, true).expect("declare");
    world.monitor.release(PT).expect("release");
    world.monitor.start_vcpu(1).expect("a vCPU");
    world.flush(0);
    assert_eq!(world.declare(PT, 2, true), Ok(()));
}

#[test]
fn i5_every_root_has_the_monitors_slot() {
    let mut world = World::small(1);
    world.declare(PT, 4, false).expect("declare");
    assert_eq!(world.entry(PT, 256), SLOT_ENTRY);
    world.memory.poke(world.frame(PT + PAGE), 256, HOST | LINK);
    world.adopt(PT + PAGE, 4, false).expect("adopt");
    assert_eq!(world.entry(PT + PAGE, 256), SLOT_ENTRY, "whatever was kept");
}

#[test]
fn i5_no_call_changes_slot_256() {
    let mut world = World::small(1);
    let [_, _, l3, l4] = world.tower(PT, 300);
    let entry = l4 + 8 * 256;
    for value in [0, SLOT_ENTRY, l3 | LINK, HOST | P] {
        assert_eq!(world.monitor.set_entry(entry, value), Err(Refusal::Root));
        assert_eq!(
            world.monitor.exchange_entry(entry, value),
            Err(Refusal::Root)
        );
        assert_eq!(
            world
                .monitor
                .compare_exchange_entry(entry, SLOT_ENTRY, value),
            Err((Refusal::Root, 0))
        );
    }
    assert_eq!(world.monitor.clear_entry_bits(entry, A), Err(Refusal::Root));
    assert_eq!(world.entry(l4, 256), SLOT_ENTRY);
    assert_eq!(
        world.set(l3, 256, 0),
        Ok(()),
        "slot 256 of other levels is nothing special"
    );
}

#[test]
fn i5_only_declared_l4_tables_are_loaded() {
    let mut world = World::small(1);
    let [l1, l2, l3, l4] = world.tower(PT, 300);
    for hpa in [l1, l2, l3, DATA, EXEC, RO, PT + 0x20 * PAGE] {
        assert_eq!(
            world.monitor.load_root(0, hpa),
            Err(Refusal::Root),
            "{hpa:#x}"
        );
    }
    for hpa in [0, HOST, MONITOR_TABLE] {
        assert_eq!(
            world.monitor.load_root(0, hpa),
            Err(Refusal::Range),
            "{hpa:#x}"
        );
    }
    assert_eq!(world.monitor.load_root(0, l4), Ok(l4 | 0x100));
}

#[test]
fn i5_a_root_is_linked_nowhere() {
    let mut world = World::small(1);
    let [.., l3, l4] = world.tower(PT, 300);
    assert_eq!(world.set(l4, 300, l4 | LINK), Err(Refusal::Type));
    assert_eq!(world.set(l3, 0, l4 | LINK), Err(Refusal::Type));
}

#[test]
fn i5_pcids_stay_in_the_containers_range() {
    let mut world = World::small(1);
    let [.., l4] = world.tower(PT, 300);
    let no_flush = 1 << 63;
    assert_eq!(
        world.monitor.load_root(0, l4 | 7 | no_flush),
        Ok(l4 | 0x107 | no_flush)
    );
    for bad in [8, 0xfff, 0x100] {
        assert_eq!(
            world.monitor.load_root(0, l4 | bad),
            Err(Refusal::Argument),
            "PCID {bad}"
        );
    }
    for bit in 52..63 {
        assert_eq!(
            world.monitor.load_root(0, l4 | 1 << bit),
            Err(Refusal::Argument),
            "bit {bit}"
        );
    }
}

#[test]
fn i5_without_pcids_cr3_has_no_other_bits() {
    let config = cki_ksm_core::Config {
        segments: &[cki_abi::start_info::Segment {
            base: LOW,
            size: 5 * MIB2,
        }],
        classes: &low_classes(),
        shared: &[],
        vcpus: 1,
        pcid_base: 0,
        pcids: 0,
        slot_entry: SLOT_ENTRY,
    };
    let storage = cki_ksm_core::Storage {
        frames: words(2560),
        chunks: words(5),
    };
    let memory = Sparse::default();
    let mut monitor = common::monitor(&memory, &config, storage).expect("a monitor");
    monitor.declare(PT, Kind::ROOT).expect("declare");
    assert_eq!(monitor.load_root(0, PT), Ok(PT));
    for bits in [1, 1 << 3, 1 << 4, 1 << 63] {
        assert_eq!(monitor.load_root(0, PT | bits), Err(Refusal::Argument));
    }
}

#[test]
fn clearing_bits_takes_rights_only() {
    let mut world = World::small(1);
    let [l1, l2, ..] = world.tower(PT, 3);
    let value = DATA | P | W | U | NX | A | D | 1 << 10;
    world.set(l1, 4, value).expect("map");
    let entry = l1 + 32;
    assert_eq!(world.monitor.clear_entry_bits(entry, A), Ok(value));
    assert_eq!(world.monitor.clear_entry_bits(entry, W | D), Ok(value & !A));
    assert_eq!(world.entry(l1, 4), value & !(A | W | D));
    for mask in [P, U, PS, NX, ADDRESS, 1 << 59, G, !0] {
        assert_eq!(
            world.monitor.clear_entry_bits(entry, mask),
            Err(Refusal::Argument)
        );
        assert_eq!(
            world.monitor.clear_entry_bits(l2, mask | A),
            Err(Refusal::Argument)
        );
    }
    assert_eq!(world.references(l1), 1);
}
