// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random sequences of calls: whatever a guest tries, the oracle finds nothing.
//!
//! A guest of two vCPUs makes any calls with any arguments out of a small world in which the
//! interesting collisions are frequent. After each call everything that the page walker can reach,
//! from every root and through every translation that a vCPU may have cached, is asserted to
//! hold I1 to I6. Counts and types are compared with what memory says.

mod common;

use std::collections::HashMap;

use cki_ksm_core::Kind;
use common::caches::Caches;
use common::oracle::{assert_root, frame_of};
use common::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Page-table frames that the guest uses.
const TABLES: usize = 9;
/// Indexes that it uses in them: both halves, and their borders.
const INDEXES: [usize; 5] = [0, 255, 256, 257, 511];

fn table(i: usize) -> u64 {
    PT + i as u64 * PAGE
}

#[derive(Clone, Debug)]
enum Call {
    Declare {
        table: usize,
        level: u8,
        user: bool,
        keep: bool,
    },
    Release {
        table: usize,
    },
    Set {
        table: usize,
        index: usize,
        value: u64,
    },
    Exchange {
        table: usize,
        index: usize,
        value: u64,
    },
    /// The entry's present value as the expected one, or another.
    CompareExchange {
        table: usize,
        index: usize,
        hit: bool,
        value: u64,
    },
    Clear {
        table: usize,
        index: usize,
        mask: u64,
    },
    Batch {
        updates: Vec<(usize, usize, u64)>,
    },
    LoadRoot {
        vcpu: usize,
        table: usize,
    },
    Flush {
        vcpu: usize,
    },
    Seal {
        frame: u64,
    },
    Poke {
        frame: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Not a call: the vCPU uses an address, and the walker sets A and D bits.
    Touch {
        vcpu: usize,
        indexes: [usize; 4],
    },
    /// Not a call: the guest writes its own memory.
    Write {
        frame: u64,
        value: u64,
    },
}

fn flags() -> impl Strategy<Value = u64> {
    // Mostly plausible, sometimes anything.
    prop_oneof![
        6 => prop::sample::subsequence(vec![W, U, NX, A | D], 0..=4)
            .prop_map(|flags| flags.into_iter().fold(P, |all, flag| all | flag)),
        1 => any::<u64>().prop_map(|bits| bits & !ADDRESS),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    let target = prop_oneof![
        6 => (0..TABLES).prop_map(table),
        2 => Just(DATA),
        2 => (0..4u64).prop_map(|i| EXEC + i * PAGE),
        1 => prop::sample::select(vec![RO, MIXED_DATA, SHARED, HOST, MONITOR_TABLE, LOW - PAGE]),
    ];
    let large = prop::sample::select(vec![DATA, PT, ALL_PT, ALL_EXEC, ALL_RO, LOW - MIB2]);
    prop_oneof![
        8 => (target, flags()).prop_map(|(address, flags)| address | flags),
        // The flags that make most links, so that towers of tables get built.
        6 => (0..TABLES).prop_map(|i| table(i) | P | W | U | A),
        2 => (large, flags()).prop_map(|(address, flags)| address | flags | PS),
        2 => Just(0),
        1 => any::<u64>(),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let place = (0..TABLES, prop::sample::select(INDEXES.to_vec()));
    let path = (
        prop::sample::select(INDEXES.to_vec()),
        prop::sample::select(INDEXES.to_vec()),
        prop::sample::select(INDEXES.to_vec()),
        prop::sample::select(INDEXES.to_vec()),
    );
    let byte = prop::sample::select(vec![0x0f, 0x38, 0x6b, 0xda, 0x90]);
    let offset = prop_oneof![0..6u64, 0x100..0x106u64, (PAGE - 6)..PAGE];
    prop_oneof![
        8 => (0..TABLES, 1..=4u8, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
            |(table, level, user, keep)| Call::Declare { table, level, user, keep }
        ),
        4 => (0..TABLES).prop_map(|table| Call::Release { table }),
        16 => (place.clone(), value())
            .prop_map(|((table, index), value)| Call::Set { table, index, value }),
        3 => (place.clone(), value())
            .prop_map(|((table, index), value)| Call::Exchange { table, index, value }),
        3 => (place.clone(), any::<bool>(), value()).prop_map(|((table, index), hit, value)| {
            Call::CompareExchange { table, index, hit, value }
        }),
        2 => (place.clone(), prop_oneof![Just(W), Just(A | D), any::<u64>()])
            .prop_map(|((table, index), mask)| Call::Clear { table, index, mask }),
        2 => vec((place, value()), 1..5).prop_map(|updates| Call::Batch {
            updates: updates.into_iter().map(|((t, i), v)| (t, i, v)).collect()
        }),
        4 => (0..2usize, 0..TABLES).prop_map(|(vcpu, table)| Call::LoadRoot { vcpu, table }),
        3 => (0..2usize).prop_map(|vcpu| Call::Flush { vcpu }),
        2 => (0..4u64).prop_map(|i| Call::Seal { frame: EXEC + i * PAGE }),
        3 => (0..4u64, offset, vec(byte, 1..5)).prop_map(|(i, offset, bytes)| Call::Poke {
            frame: EXEC + i * PAGE,
            offset,
            bytes
        }),
        6 => (0..2usize, path)
            .prop_map(|(vcpu, (a, b, c, d))| Call::Touch { vcpu, indexes: [a, b, c, d] }),
        1 => (0..4u64, value()).prop_map(|(i, value)| Call::Write { frame: DATA + i * PAGE, value }),
    ]
}

struct Guest {
    world: World,
    caches: Caches,
}

impl Guest {
    /// A guest that starts with a tower of tables in each half, so that short sequences reach deep.
    fn new() -> Self {
        let mut world = World::small(2);
        let mut caches = Caches::new(2);
        let [.., root] = world.tower(table(0), 0);
        world.declare(table(4), 3, false).expect("L3");
        world.declare(table(5), 2, false).expect("L2");
        world.declare(table(6), 1, false).expect("L1");
        let link = P | W | U | A;
        world.set(root, 511, table(4) | link).expect("link");
        world.set(table(4), 511, table(5) | link).expect("link");
        world.set(table(5), 511, table(6) | link).expect("link");
        for vcpu in 0..2 {
            world.monitor.load_root(vcpu, root).expect("load");
            caches.load_root(vcpu, world.frame(root));
            caches.touch(&world, vcpu, [0; 4]);
            caches.touch(&world, vcpu, [511; 4]);
        }
        Guest { world, caches }
    }

    fn make(&mut self, call: &Call) {
        let world = &mut self.world;
        let entry = |table: usize, index: usize| PT + table as u64 * PAGE + 8 * index as u64;
        match call {
            Call::Declare {
                table: t,
                level,
                user,
                keep,
            } => {
                if let Some(kind) = Kind::new(*level, *user) {
                    let _ = if *keep {
                        common::adopt(&mut world.monitor, table(*t), kind)
                    } else {
                        world.monitor.declare(table(*t), kind)
                    };
                }
            }
            Call::Release { table: t } => {
                let _ = world.monitor.release(table(*t));
            }
            Call::Set {
                table,
                index,
                value,
            } => {
                let _ = world.monitor.set_entry(entry(*table, *index), *value);
            }
            Call::Exchange {
                table,
                index,
                value,
            } => {
                let _ = world.monitor.exchange_entry(entry(*table, *index), *value);
            }
            Call::CompareExchange {
                table: t,
                index,
                hit,
                value,
            } => {
                let old = world.entry(table(*t), *index as u64);
                let expected = if *hit { old } else { !old };
                let _ = world
                    .monitor
                    .compare_exchange_entry(entry(*t, *index), expected, *value);
            }
            Call::Clear { table, index, mask } => {
                let _ = world.monitor.clear_entry_bits(entry(*table, *index), *mask);
            }
            Call::Batch { updates } => {
                let list = world.frame(DATA + PAGE);
                for (i, (table, index, value)) in updates.iter().enumerate() {
                    world.memory.poke(list, 2 * i, entry(*table, *index));
                    world.memory.poke(list, 2 * i + 1, *value);
                }
                let count = updates.len() as u64;
                let _ = world.monitor.batch(DATA + PAGE, count, &mut world.scratch);
            }
            Call::LoadRoot { vcpu, table: t } => {
                if world.monitor.load_root(*vcpu, table(*t)).is_ok() {
                    self.caches.load_root(*vcpu, world.frame(table(*t)));
                }
            }
            Call::Flush { vcpu } => {
                world.flush(*vcpu);
                self.caches.flush(*vcpu);
            }
            Call::Seal { frame } => {
                let _ = world.monitor.seal(*frame, 1);
            }
            Call::Poke {
                frame,
                offset,
                bytes,
            } => {
                world.memory.set_bytes(world.frame(DATA), 5, bytes);
                let length = bytes.len() as u64;
                let _ = world
                    .monitor
                    .poke(frame + offset, DATA + 5, length, &mut world.scratch);
            }
            Call::Touch { vcpu, indexes } => self.caches.touch(world, *vcpu, *indexes),
            Call::Write { frame, value } => world.memory.poke(world.frame(*frame), 0, *value),
        }
    }

    fn kind(&self, hpa: u64) -> Option<Kind> {
        let frame = self.world.monitor.segments().find(hpa).expect("a frame");
        self.world
            .monitor
            .frames()
            .word(frame)
            .expect("a word")
            .kind()
    }

    fn assert_invariants(&self) {
        for i in 0..TABLES {
            if self.kind(table(i)) == Some(Kind::ROOT) {
                assert_root(&self.world, self.world.frame(table(i)));
            }
        }
        self.caches.assert_harmless(&self.world);
        self.assert_counts();
        self.assert_text();
    }

    /// References are exactly the entries of declared tables, and the vCPUs' roots.
    fn assert_counts(&self) {
        let mut counts: HashMap<usize, u64> = HashMap::new();
        for i in 0..TABLES {
            let Some(kind) = self.kind(table(i)) else {
                continue;
            };
            let frame = self.world.frame(table(i));
            for (index, value) in self.world.memory.entries(frame) {
                let leaf = kind.level() == 1 || (kind.level() < 4 && value & PS != 0);
                let monitors = kind == Kind::ROOT && index == 256;
                if value & P != 0 && !leaf && !monitors {
                    let child = frame_of(&self.world, value & ADDRESS).expect("I4: a table");
                    *counts.entry(child).or_default() += 1;
                }
            }
        }
        for root in self.caches.roots() {
            *counts.entry(root).or_default() += 1;
        }
        for i in 0..TABLES {
            let expected = counts
                .get(&self.world.frame(table(i)))
                .copied()
                .unwrap_or(0);
            if self.kind(table(i)).is_some() {
                assert_eq!(self.world.references(table(i)), expected, "I4: table {i}");
            } else {
                assert_eq!(expected, 0, "I4: table {i} is referred to and none");
            }
        }
    }

    /// No two sealed frames in any order, spell the sequence.
    fn assert_text(&self) {
        let sealed: Vec<_> = (0..4)
            .map(|i| EXEC + i * PAGE)
            .filter(|hpa| {
                let frame = self.world.monitor.segments().find(*hpa).expect("a frame");
                self.world
                    .monitor
                    .frames()
                    .word(frame)
                    .expect("a word")
                    .edges()
                    .is_some()
            })
            .map(|hpa| self.world.memory.bytes(self.world.frame(hpa)))
            .collect();
        for first in &sealed {
            assert!(!contains(first), "I6: inside a frame");
            for second in &sealed {
                let border = [&first[PAGE as usize - 3..], &second[..3]].concat();
                assert!(!contains(&border), "I6: across two frames");
            }
        }
    }
}

fn contains(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|w| w == cki_abi::isa::WRPKRS)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_calls_breaks_an_invariant(calls in vec(call(), 1..60)) {
        let mut guest = Guest::new();
        guest.assert_invariants();
        for call in &calls {
            guest.make(call);
            guest.assert_invariants();
        }
    }

    #[test]
    fn any_values_of_all_registers_are_survived(
        calls in vec((0..20u64, any::<[u64; 4]>(), prop::bool::weighted(0.7)), 1..60)
    ) {
        let mut guest = Guest::new();
        for (number, mut arguments, aim) in calls {
            if aim {
                // Random 64-bit addresses miss everything: bring most near the tables.
                arguments[0] = PT + arguments[0] % (16 * PAGE);
            }
            let world = &mut guest.world;
            let outcome = world.monitor.call(0, number, arguments, &mut world.scratch);
            if let Err(refused) = outcome {
                assert_ne!(refused.why, cki_ksm_core::Refusal::Monitor, "{number} {arguments:x?}");
            } else if let Ok(cki_ksm_core::Action::LoadRoot(cr3)) = outcome {
                guest.caches.load_root(0, guest.world.frame(cr3 & ADDRESS));
            }
            guest.assert_invariants();
        }
    }
}
