// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random loading, sealing and poking of text, out of pieces of the forbidden sequence (I6).
//!
//! The oracle knows nothing of edges or counts: after each call it concatenates sealed frames in
//! every order, and for an accepted poke every mixture of old and new bytes.

mod common;

use cki_abi::isa::WRPKRS;
use common::*;
use proptest::collection::vec;
use proptest::prelude::*;

const FRAMES: u64 = 3;

/// A piece `WRPKRS[from..to]` where a whole sequence that begins at `start` would have it, some bytes
/// of it replaced, so that a poke can undo some bytes and add others. Some lie across two words. Starts
/// just before the end of a frame put the rest into the head of any frame.
#[derive(Clone, Debug)]
struct Piece {
    frame: u64,
    start: u64,
    from: usize,
    to: usize,
    harmless: [bool; 4],
}

impl Piece {
    /// Address and bytes of each part: in the frame, and in the head of the same or another one.
    fn parts(&self, next: u64) -> Vec<(u64, Vec<u8>)> {
        let bytes: Vec<u8> = (self.from..self.to)
            .map(|i| if self.harmless[i] { 0x90 } else { WRPKRS[i] })
            .collect();
        let at = self.start + self.from as u64;
        let inside = PAGE.saturating_sub(at).min(bytes.len() as u64);
        let (first, second) = bytes.split_at(inside as usize);
        let head = EXEC + next * PAGE + at.saturating_sub(PAGE);
        [
            (EXEC + self.frame * PAGE + at, first.to_vec()),
            (head, second.to_vec()),
        ]
        .into_iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Seal(u64),
    Poke(Piece, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let start = prop::sample::select(vec![
        0,
        0x104,
        0x205,
        0x306,
        0x407,
        PAGE - 4,
        PAGE - 3,
        PAGE - 2,
        PAGE - 1,
    ]);
    let piece = (
        0..FRAMES,
        start,
        0..4usize,
        1..=4usize,
        prop::array::uniform4(prop::bool::weighted(0.3)),
    )
        .prop_map(|(frame, start, from, length, harmless)| {
            let to = (from + length).min(4);
            Piece {
                frame,
                start,
                from,
                to,
                harmless,
            }
        });
    prop_oneof![
        1 => (0..FRAMES).prop_map(Step::Seal),
        4 => (piece, 0..FRAMES).prop_map(|(piece, next)| Step::Poke(piece, next)),
    ]
}

fn bytes(world: &World) -> Vec<Vec<u8>> {
    (0..FRAMES)
        .map(|i| world.memory.bytes(world.frame(EXEC + i * PAGE)))
        .collect()
}

fn sealed(world: &World, frame: u64) -> bool {
    let frame = world
        .monitor
        .segments()
        .find(EXEC + frame * PAGE)
        .expect("a frame");
    world
        .monitor
        .frames()
        .word(frame)
        .expect("a word")
        .edges()
        .is_some()
}

/// Whether sealed frames, in any order, each byte from `old` or `new`, spell the sequence.
fn can_be_fetched(world: &World, old: &[Vec<u8>], new: &[Vec<u8>]) -> bool {
    let all: Vec<usize> = (0..FRAMES)
        .filter(|i| sealed(world, *i))
        .map(|i| i as usize)
        .collect();
    let page = PAGE as usize;
    let any_at = |first: usize, second: usize, at: usize| {
        WRPKRS.iter().enumerate().all(|(i, byte)| {
            let (frame, offset) = if at + i < page {
                (first, at + i)
            } else {
                (second, at + i - page)
            };
            old[frame][offset] == *byte || new[frame][offset] == *byte
        })
    };
    all.iter().any(|a| {
        (0..page - 3).any(|at| any_at(*a, *a, at))
            || all
                .iter()
                .any(|b| (page - 3..page).any(|at| any_at(*a, *b, at)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_seals_and_pokes_lets_wrpkrs_be_fetched(steps in vec(step(), 1..40)) {
        let mut world = World::small(1);
        for step in steps {
            match step {
                Step::Seal(frame) => {
                    let _ = world.seal(EXEC + frame * PAGE, 1);
                }
                Step::Poke(piece, next) => {
                    for (to, part) in piece.parts(next) {
                        let old = bytes(&world);
                        world.memory.set_bytes(world.frame(DATA), 1, &part);
                        let length = part.len() as u64;
                        let _ = world.monitor.poke(to, DATA + 1, length, &mut world.scratch);
                        let new = bytes(&world);
                        prop_assert!(!can_be_fetched(&world, &old, &new), "during {piece:x?}");
                    }
                }
            }
            let now = bytes(&world);
            prop_assert!(!can_be_fetched(&world, &now, &now));
        }
    }
}
