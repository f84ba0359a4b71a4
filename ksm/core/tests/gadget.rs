// SPDX-License-Identifier: MIT OR Apache-2.0

//! I6 No gadget: WRPKRS cannot be fetched from guest text.

mod common;

use cki_abi::isa::WRPKRS;
use cki_abi::limits::POKE_MAX;
use cki_ksm_core::Refusal;
use common::*;

fn world() -> World {
    World::small(1)
}

/// Puts bytes into a frame as the loader does, before the start.
fn load(world: &World, hpa: u64, bytes: &[u8]) {
    world
        .memory
        .set_bytes(world.frame(hpa & !0xfff), (hpa % PAGE) as usize, bytes);
}

/// Pokes bytes, by way of a Data frame.
fn poke(world: &mut World, hpa: u64, bytes: &[u8]) -> Result<(), Refusal> {
    load(world, DATA + 3, bytes);
    world
        .monitor
        .poke(hpa, DATA + 3, bytes.len() as u64, &mut world.scratch)
}

#[test]
fn i6_the_sequence_is_found_at_every_offset() {
    for offset in 0..=PAGE - 4 {
        let mut world = world();
        load(&world, EXEC + offset, &WRPKRS);
        assert_eq!(
            world.seal(EXEC, 1),
            Err(Refusal::Gadget),
            "offset {offset:#x}"
        );
    }
}

#[test]
fn i6_everything_but_the_sequence_is_allowed() {
    let mut world = world();
    for (i, near) in [
        [0x0f, 0x38, 0x6b, 0xd2],
        [0x0f, 0x38, 0x6a, 0xda],
        [0x0f, 0x39, 0x6b, 0xda],
        [0x0e, 0x38, 0x6b, 0xda],
        [0xda, 0x6b, 0x38, 0x0f],
    ]
    .iter()
    .enumerate()
    {
        load(&world, EXEC + 16 * i as u64 + 6, near);
    }
    load(&world, EXEC + 0x100, &[0xda; 64]);
    load(
        &world,
        EXEC + 0x200,
        &[0x0f, 0x38, 0x6b, 0x0f, 0x38, 0x6b, 0x90, 0xda],
    );
    assert_eq!(world.seal(EXEC, 1), Ok(()));
}

#[test]
fn i6_a_sequence_split_between_neighbours_is_found() {
    for split in 1..4 {
        let mut world = world();
        load(&world, EXEC + PAGE - split as u64, &WRPKRS[..split]);
        load(&world, EXEC + PAGE, &WRPKRS[split..]);
        assert_eq!(
            world.monitor.seal(EXEC, 2),
            (1, Err(Refusal::Gadget)),
            "split {split}"
        );
    }
}

#[test]
fn i6_a_sequence_split_between_any_two_frames_is_found_in_either_order() {
    for split in 1..4 {
        let (ends, begins) = (EXEC + 7 * PAGE, EXEC + 3 * PAGE);
        for first_sealed in [ends, begins] {
            let mut world = world();
            load(&world, ends + PAGE - split as u64, &WRPKRS[..split]);
            load(&world, begins, &WRPKRS[split..]);
            let second = ends + begins - first_sealed;
            assert_eq!(world.seal(first_sealed, 1), Ok(()));
            assert_eq!(world.seal(second, 1), Err(Refusal::Gadget), "split {split}");
        }
    }
}

#[test]
fn i6_a_frame_mapped_twice_in_a_row_counts() {
    for split in 1..4 {
        let mut world = world();
        load(&world, EXEC + PAGE - split as u64, &WRPKRS[..split]);
        load(&world, EXEC, &WRPKRS[split..]);
        assert_eq!(world.seal(EXEC, 1), Err(Refusal::Gadget), "split {split}");
    }
}

#[test]
fn i6_ends_of_different_splits_do_not_count() {
    let mut world = world();
    load(&world, EXEC + PAGE - 1, &WRPKRS[..1]);
    load(&world, EXEC + PAGE, &WRPKRS[2..]);
    assert_eq!(world.seal(EXEC, 2), Ok(()));
}

#[test]
fn i6_only_exec_frames_are_sealed() {
    let mut world = world();
    for hpa in [DATA, PT, RO] {
        assert_eq!(world.seal(hpa, 1), Err(Refusal::Class));
    }
    assert_eq!(world.seal(HOST, 1), Err(Refusal::Range));
    assert_eq!(
        world.seal(ALL_RO - PAGE, 2),
        Err(Refusal::Class),
        "stops at the class"
    );
    for (hpa, count) in [(EXEC + 8, 1), (EXEC, 0), (EXEC, 17), (EXEC, u64::MAX)] {
        assert_eq!(world.seal(hpa, count), Err(Refusal::Argument));
    }
}

#[test]
fn i6_poking_the_sequence_into_sealed_text_is_refused() {
    let mut world = world();
    world.seal(EXEC, 2).expect("seal");
    for offset in [0, 1, 7, 0x7ff, PAGE - 4] {
        assert_eq!(
            poke(&mut world, EXEC + offset, &WRPKRS),
            Err(Refusal::Gadget)
        );
    }
    assert!(
        world
            .memory
            .bytes(world.frame(EXEC))
            .iter()
            .all(|b| *b == 0),
        "nothing was written"
    );
}

#[test]
fn i6_completing_the_sequence_byte_by_byte_is_refused() {
    for missing in 0..4 {
        let mut world = world();
        let mut bytes = WRPKRS;
        bytes[missing] = 0x90;
        load(&world, EXEC + 0x100, &bytes);
        world.seal(EXEC, 1).expect("seal");
        let at = EXEC + 0x100 + missing as u64;
        assert_eq!(
            poke(&mut world, at, &WRPKRS[missing..=missing]),
            Err(Refusal::Gadget)
        );
    }
}

#[test]
fn i6_a_mix_of_old_and_new_bytes_is_refused() {
    let mut world = world();
    // Old: 0F 38 .. .., new: .. .. 6B DA. Neither is the sequence; a fetch during the change is.
    load(&world, EXEC + 0x40, &[0x0f, 0x38, 0x90, 0x90]);
    world.seal(EXEC, 1).expect("seal");
    assert_eq!(
        poke(&mut world, EXEC + 0x40, &[0x90, 0x90, 0x6b, 0xda]),
        Err(Refusal::Gadget)
    );
    assert_eq!(
        poke(&mut world, EXEC + 0x40, &[0x90; 4]),
        Ok(()),
        "in two steps it is safe"
    );
    assert_eq!(
        poke(&mut world, EXEC + 0x40, &[0x90, 0x90, 0x6b, 0xda]),
        Ok(())
    );
}

#[test]
fn i6_poking_an_edge_against_another_frames_edge_is_refused() {
    for split in 1..4u64 {
        let mut world = world();
        world.seal(EXEC, 4).expect("seal");
        let (first, second) = WRPKRS.split_at(split as usize);
        assert_eq!(poke(&mut world, EXEC + PAGE - split, first), Ok(()));
        assert_eq!(
            poke(&mut world, EXEC + 3 * PAGE, second),
            Err(Refusal::Gadget)
        );
        assert_eq!(
            poke(&mut world, EXEC, second),
            Err(Refusal::Gadget),
            "its own, too"
        );
        assert_eq!(
            poke(&mut world, EXEC + PAGE - split, &vec![0x90; split as usize]),
            Ok(())
        );
        assert_eq!(
            poke(&mut world, EXEC + 3 * PAGE, second),
            Ok(()),
            "the edge is gone"
        );
    }
}

#[test]
fn i6_unsealed_text_may_hold_anything_until_it_is_sealed() {
    let mut world = world();
    assert_eq!(poke(&mut world, EXEC + 5, &WRPKRS), Ok(()));
    assert_eq!(world.seal(EXEC, 1), Err(Refusal::Gadget));
    assert_eq!(poke(&mut world, EXEC + 5, &[0x90]), Ok(()));
    assert_eq!(world.seal(EXEC, 1), Ok(()));
}

#[test]
fn i6_pokes_write_exactly_their_bytes() {
    let mut world = world();
    load(&world, EXEC, &[0x11; 32]);
    world.seal(EXEC, 1).expect("seal");
    poke(&mut world, EXEC + 5, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).expect("poke");
    let mut expected = [0x11; 32];
    expected[5..16].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(world.memory.bytes(world.frame(EXEC))[..32], expected);
}

#[test]
fn i6_a_whole_frame_can_be_poked_in_parts() {
    let mut world = world();
    world.seal(EXEC, 1).expect("seal");
    world.memory.set_bytes(world.frame(DATA), 0, &[0x5a; 4096]);
    for at in (0..PAGE).step_by(POKE_MAX as usize) {
        let outcome = world
            .monitor
            .poke(EXEC + at, DATA + at, POKE_MAX, &mut world.scratch);
        assert_eq!(outcome, Ok(()));
    }
    assert_eq!(world.memory.bytes(world.frame(EXEC)), [0x5a; 4096]);
}

/// Each call looks at as much as it may, and the calls together at everything: the sequence is found in
/// the last frame of many, whether the frames before are easy to look at or not.
#[test]
fn i6_a_seal_that_stops_early_has_looked_at_all_that_it_sealed() {
    for filler in [0x90, WRPKRS[3]] {
        let mut world = world();
        for frame in 0..16 {
            load(&world, EXEC + frame * PAGE, &[filler; 4096]);
        }
        load(&world, EXEC + 16 * PAGE - 4, &WRPKRS);
        let mut done = 0;
        let outcome = loop {
            let (sealed, outcome) = world.monitor.seal(EXEC + done * PAGE, 16 - done);
            done += sealed;
            if outcome.is_err() {
                break outcome;
            }
            assert!(sealed > 0 && sealed < 16, "{sealed} at once");
        };
        assert_eq!((done, outcome), (15, Err(Refusal::Gadget)));
    }
}

#[test]
fn pokes_go_from_own_memory_to_text_within_a_frame() {
    let mut world = world();
    let mut poke = |to, from, length| world.monitor.poke(to, from, length, &mut world.scratch);
    for to in [DATA + PAGE, PT, RO] {
        assert_eq!(poke(to, DATA, 4), Err(Refusal::Class), "{to:#x}");
    }
    assert_eq!(poke(HOST, DATA, 4), Err(Refusal::Range));
    assert_eq!(poke(EXEC, HOST, 4), Err(Refusal::Range));
    assert_eq!(
        poke(EXEC + PAGE - 2, DATA, 4),
        Err(Refusal::Argument),
        "crosses the target frame"
    );
    assert_eq!(
        poke(EXEC, DATA + PAGE - 2, 4),
        Err(Refusal::Argument),
        "crosses the source frame"
    );
    for length in [0, POKE_MAX + 1, 4096, u64::MAX] {
        assert_eq!(poke(EXEC, DATA, length), Err(Refusal::Argument));
    }
    assert_eq!(
        poke(EXEC, RO, 4),
        Ok(()),
        "any memory of the container can be read"
    );
}
