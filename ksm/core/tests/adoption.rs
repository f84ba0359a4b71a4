// SPDX-License-Identifier: MIT OR Apache-2.0

//! I4 Types: tables that are made of frames with contents.

mod common;

use cki_ksm_core::{Kind, Refusal};
use common::*;

const LINK: u64 = P | W | U | A;

#[test]
fn i4_kept_contents_are_judged_entry_by_entry() {
    let mut world = World::small(1);
    world.declare(PT, 1, false).expect("L1");
    for (index, bad, refusal) in [
        (0, HOST | P | NX, Refusal::Range),
        (511, PT | P | W | NX, Refusal::Class),
        (100, DATA | P | W, Refusal::Execute),
        (256, DATA | P | NX | G, Refusal::Bits),
    ] {
        let table = PT + 2 * PAGE;
        world.memory.poke(world.frame(table), index, bad);
        assert_eq!(world.adopt(table, 1, false), Err(refusal));
        world
            .memory
            .poke(world.frame(table), index, DATA | P | W | NX);
        assert_eq!(world.set(table, 0, 0), Err(Refusal::Type), "it is no table");
    }
    assert_eq!(world.adopt(PT + 2 * PAGE, 1, false), Ok(()));
    assert_eq!(world.entry(PT + 2 * PAGE, 511), DATA | P | W | NX);
}

#[test]
fn i4_a_refused_adoption_counts_no_links() {
    let mut world = World::small(1);
    world.declare(PT, 1, true).expect("L1");
    let frame = world.frame(PT + PAGE);
    world.memory.poke(frame, 3, PT | LINK);
    world.memory.poke(frame, 9, PT | LINK);
    world.memory.poke(frame, 10, HOST | LINK);
    assert_eq!(world.adopt(PT + PAGE, 2, true), Err(Refusal::Range));
    assert_eq!(world.references(PT), 0);
    world.memory.poke(frame, 10, 0);
    assert_eq!(world.adopt(PT + PAGE, 2, true), Ok(()));
    assert_eq!(world.references(PT), 2);
    world.monitor.release(PT + PAGE).expect("release");
    assert_eq!(world.references(PT), 0);
}

/// Links and leaves in turn, more than a step judges.
fn fill(world: &World, table: u64, l1: u64, count: usize) {
    let frame = world.frame(table);
    for index in 0..count {
        let leaf = DATA | P | W | PS | NX;
        let value = if index % 5 == 4 { leaf } else { l1 | LINK };
        world.memory.poke(frame, index, value);
    }
}

#[test]
fn i4_an_adoption_in_steps_judges_and_counts_every_entry() {
    let mut world = World::small(1);
    world.declare(PT, 1, false).expect("L1");
    fill(&world, PT + PAGE, PT, 512);
    let kind = Kind::new(2, false).expect("a kind");
    let mut left = 512;
    let mut steps = 0;
    while left != 0 {
        let now = world.monitor.adopt(PT + PAGE, kind).expect("a good table");
        assert!(now < left, "each step gets on");
        (left, steps) = (now, steps + 1);
    }
    assert!(steps > 2, "{steps} steps");
    assert_eq!(world.references(PT), 410);
    assert_eq!(world.adopt(PT + PAGE, 2, false), Err(Refusal::Type));
}

#[test]
fn i4_a_refused_adoption_in_steps_gives_up_what_it_has_counted() {
    for bad in [0, 1, 100, 300, 511] {
        let mut world = World::small(1);
        world.declare(PT, 1, false).expect("L1");
        let table = PT + PAGE;
        fill(&world, table, PT, 512);
        let frame = world.frame(table);
        world.memory.poke(frame, bad, HOST | LINK);
        assert_eq!(world.adopt(table, 2, false), Err(Refusal::Range), "{bad}");
        assert_eq!(world.references(PT), 0, "{bad}");
        world.memory.poke(frame, bad, 0);
        assert_eq!(world.adopt(table, 2, false), Ok(()), "{bad}");
    }
}

#[test]
fn i4_a_frame_that_is_being_adopted_becomes_no_other_table() {
    let mut world = World::small(1);
    world.declare(PT, 1, false).expect("L1");
    let table = PT + PAGE;
    fill(&world, table, PT, 512);
    let kind = Kind::new(2, false).expect("a kind");
    assert_ne!(
        world.monitor.adopt(table, kind),
        Ok(0),
        "one step is not all"
    );
    let counted = world.references(PT);
    assert_ne!(counted, 0);
    assert_eq!(world.declare(table, 2, false), Err(Refusal::State));
    assert_eq!(world.declare(table, 1, false), Err(Refusal::State));
    let other = Kind::new(3, false).expect("a kind");
    assert_eq!(world.monitor.adopt(table, other), Err(Refusal::State));
    assert_eq!(
        world.monitor.adopt(PT + 2 * PAGE, kind),
        Err(Refusal::State)
    );
    world.declare(PT + 2 * PAGE, 2, false).expect("another");
    assert_eq!(
        world.set(PT + 3 * PAGE, 0, table | LINK),
        Err(Refusal::Type),
        "nor is it one yet"
    );
    assert_eq!(
        world.monitor.release(PT),
        Err(Refusal::Busy),
        "what it links stays"
    );
    assert_eq!(world.references(PT), counted);
    assert_eq!(world.adopt(table, 2, false), Ok(()));
    assert_eq!(world.references(PT), 410);
}

#[test]
fn i4_a_frame_cannot_adopt_a_link_to_itself() {
    let mut world = World::small(1);
    world.memory.poke(world.frame(PT), 0, PT | LINK);
    for level in 2..=4 {
        assert_eq!(world.adopt(PT, level, false), Err(Refusal::Type));
    }
}
