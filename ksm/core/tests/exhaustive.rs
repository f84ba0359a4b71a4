// SPDX-License-Identifier: MIT OR Apache-2.0

//! All sequences of calls, up to a depth, in a world of a few frames.
//!
//! Random tests find what is likely; this finds what is possible, as far as it looks. A breadth-first
//! search over *states* (memory, frame words, what each vCPU has cached, who has flushed since
//! which release) makes every call in every state once, and asserts the invariants in each.

mod common;

use std::collections::HashSet;

use cki_abi::class::{CLASS_EXEC, CLASS_PT};
use cki_abi::start_info::{ClassRange, Segment};
use cki_ksm_core::Refusal;
use common::caches::Caches;
use common::oracle::{Reached, assert_root};
use common::*;

const L4: u64 = LOW;
const L3: u64 = LOW + PAGE;
/// The tables that the guest plays with: at the start an L2, its L1, and a free frame.
const PLAYED: [u64; 3] = [LOW + 2 * PAGE, LOW + 3 * PAGE, LOW + 4 * PAGE];
const TEXT: u64 = LOW + 16 * PAGE;
const MEMORY: u64 = LOW + 32 * PAGE;
const LINK: u64 = P | W | U | A;

#[derive(Clone, Copy, Debug)]
enum Step {
    Declare(u64, u8, bool),
    Adopt(u64, u8, bool),
    Release(u64),
    Set(u64, u64),
    Exchange(u64, u64),
    Clear(u64, u64),
    Flush(usize),
    Touch(usize),
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for table in PLAYED {
        for (level, user) in [(1, true), (2, true), (1, false)] {
            steps.push(Step::Declare(table, level, user));
        }
        steps.push(Step::Adopt(table, 1, true));
        steps.push(Step::Adopt(table, 2, true));
        steps.push(Step::Release(table));
        // What an L1 takes, what an L2 takes, and what neither must.
        for value in [
            0,
            MEMORY | P | W | U | NX,
            PLAYED[0] | P | W | U | NX,
            TEXT | P,
            MEMORY | P | W,
        ] {
            steps.push(Step::Set(table, value));
        }
        for target in PLAYED {
            steps.push(Step::Set(table, target | LINK));
        }
        steps.push(Step::Exchange(table, 0));
        steps.push(Step::Clear(table, W));
        // The upper level may link any of them.
        steps.push(Step::Set(L3, table | LINK));
    }
    steps.push(Step::Set(L3, 0));
    for vcpu in 0..2 {
        steps.push(Step::Flush(vcpu));
        steps.push(Step::Touch(vcpu));
    }
    steps
}

/// A guest with a path to MEMORY that both vCPUs have cached, and the time of flushes and releases.
struct Guest {
    world: World,
    caches: Caches,
    now: u32,
    flushed: [u32; 2],
    released: [u32; 3],
}

/// What distinguishes two states: everything that the future depends on, and not the clock itself.
type Key = (
    Vec<Vec<(usize, u64)>>,
    Vec<u64>,
    Vec<Vec<Reached>>,
    [[bool; 2]; 3],
);

impl Guest {
    fn world() -> World {
        let class = |base, frames, class: u64| ClassRange {
            base,
            size: frames * PAGE,
            class: class as u32,
            reserved: 0,
        };
        World::with(
            &[Segment {
                base: LOW,
                size: MIB2,
            }],
            &[class(LOW, 16, CLASS_PT), class(TEXT, 1, CLASS_EXEC)],
            2,
        )
    }

    fn start(world: World) -> Self {
        let mut world = world.restart();
        world.declare(L4, 4, false).expect("L4");
        world.declare(L3, 3, true).expect("L3");
        world.declare(PLAYED[0], 2, true).expect("L2");
        world.declare(PLAYED[1], 1, true).expect("L1");
        world
            .set(PLAYED[1], 0, MEMORY | P | W | U | NX)
            .expect("map");
        world.set(PLAYED[0], 0, PLAYED[1] | LINK).expect("link");
        world.set(L3, 0, PLAYED[0] | LINK).expect("link");
        world.set(L4, 0, L3 | LINK).expect("link");
        let mut caches = Caches::new(2);
        for vcpu in 0..2 {
            world.monitor.load_root(vcpu, L4).expect("load");
            caches.load_root(vcpu, world.frame(L4));
            caches.touch(&world, vcpu, [0; 4]);
        }
        Guest {
            world,
            caches,
            now: 1,
            flushed: [0; 2],
            released: [0; 3],
        }
    }

    fn take(&mut self, step: Step) -> Result<(), Refusal> {
        let world = &mut self.world;
        match step {
            Step::Declare(table, level, user) => world.declare(table, level, user),
            Step::Adopt(table, level, user) => world.adopt(table, level, user),
            Step::Release(table) => {
                let outcome = world.monitor.release(table);
                if outcome.is_ok() {
                    let played = PLAYED
                        .iter()
                        .position(|t| *t == table)
                        .expect("played with");
                    self.now += 1;
                    self.released[played] = self.now;
                }
                outcome
            }
            Step::Set(table, value) => world.set(table, 0, value),
            Step::Exchange(table, value) => world.monitor.exchange_entry(table, value).map(|_| ()),
            Step::Clear(table, mask) => world.monitor.clear_entry_bits(table, mask).map(|_| ()),
            Step::Flush(vcpu) => {
                world.flush(vcpu);
                self.caches.flush(vcpu);
                self.now += 1;
                self.flushed[vcpu] = self.now;
                Ok(())
            }
            Step::Touch(vcpu) => {
                self.caches.touch(world, vcpu, [0; 4]);
                Ok(())
            }
        }
    }

    fn key(&self) -> Key {
        let frames = [L4, L3, PLAYED[0], PLAYED[1], PLAYED[2]];
        let words = frames.map(|hpa| {
            let frame = self.world.monitor.segments().find(hpa).expect("a frame");
            let word = self.world.monitor.frames().word(frame).expect("a word");
            // A released frame's word without its epoch, which `released` stands for.
            if word.former().is_some() {
                word.bits() & 0xffff
            } else {
                word.bits()
            }
        });
        (
            frames
                .map(|hpa| self.world.memory.entries(self.world.frame(hpa)))
                .to_vec(),
            words.to_vec(),
            self.caches.contents(),
            self.released
                .map(|released| self.flushed.map(|flushed| flushed > released)),
        )
    }

    fn assert_invariants(&self) {
        assert_root(&self.world, self.world.frame(L4));
        self.caches.assert_harmless(&self.world);
    }
}

/// Explores to `depth` and returns how many states there are, and how many steps were accepted.
fn explore(depth: usize) -> (usize, usize) {
    let steps = steps();
    let mut seen = HashSet::new();
    let mut frontier: Vec<Vec<usize>> = vec![Vec::new()];
    let mut world = Guest::world();
    let mut accepted = 0;
    for _ in 0..depth {
        let mut next = Vec::new();
        for path in &frontier {
            for (number, step) in steps.iter().enumerate() {
                let mut guest = Guest::start(world);
                for earlier in path {
                    let _ = guest.take(steps[*earlier]);
                }
                let before = guest.key();
                let outcome = guest.take(*step);
                if outcome.is_err() {
                    assert_eq!(guest.key(), before, "a refusal changed something: {step:?}");
                }
                assert_ne!(outcome, Err(Refusal::Monitor), "{path:?} {step:?}");
                accepted += usize::from(outcome.is_ok());
                if seen.insert(guest.key()) {
                    guest.assert_invariants();
                    next.push(path.iter().copied().chain([number]).collect());
                }
                world = guest.world;
            }
        }
        frontier = next;
    }
    (seen.len(), accepted)
}

#[test]
fn no_short_sequence_of_calls_breaks_an_invariant() {
    let (states, accepted) = explore(7);
    println!("{states} states, {accepted} accepted calls");
    assert!(states > 1_000, "the search went nowhere: {states} states");
}

/// The search is able to find: what the flush epochs exclude is harmful, and within its reach.
#[test]
fn the_oracle_rejects_a_stale_walk_into_another_kind_of_table() {
    let mut guest = Guest::start(Guest::world());
    let [l2, l1, spare] = PLAYED;
    for step in [
        Step::Set(l2, 0),
        Step::Release(l1),
        Step::Declare(spare, 1, true),
    ] {
        assert_eq!(guest.take(step), Ok(()), "{step:?}");
    }
    let declare = Step::Declare(l1, 2, true);
    assert_eq!(guest.take(declare), Err(Refusal::Stale));
    // Had it been accepted, l1 would now hold a link, and vCPU 0 reads l1 as an L1.
    guest
        .world
        .memory
        .poke(guest.world.frame(l1), 0, spare | LINK);
    let caches = std::panic::AssertUnwindSafe(|| guest.caches.assert_harmless(&guest.world));
    assert!(std::panic::catch_unwind(caches).is_err());
}
