// SPDX-License-Identifier: MIT OR Apache-2.0

//! The errors that the documentation of the calls lists are those that they return.
//!
//! Random calls, of all numbers, in a small world whose collisions are frequent. What a guest may be told is listed
//! (a guest kernel is written from these lists), and what is listed is told to some guest.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use cki_abi::calls;
use cki_abi::calls::arguments::*;
use cki_abi::calls::*;
use cki_abi::errors::{self, E_LIMIT};
use cki_abi::limits::{POKE_MAX, SEAL_MAX};
use cki_ksm_core::Kind;
use common::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

const WORLDS: usize = 40;
const CALLS: usize = 1500;
/// A table that the host is adopting, which no guest's call meets after the start.
const ADOPTED: u64 = PT + 0x3f * PAGE;

/// A frame full of updates for batches.
const LISTS: u64 = DATA + PAGE;

/// The errors that a text names.
fn named(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("E_"))
        .map(str::to_owned)
}

/// By the number of a call, the errors that its documentation names, and those of the call that it is "as".
fn documented() -> BTreeMap<u64, BTreeSet<String>> {
    let calls = cki_abi::calls::GROUP.constants;
    let mut all = BTreeMap::<u64, BTreeSet<String>>::new();
    for call in calls.iter().filter(|call| call.value < KSM_CALLS) {
        let text = call.doc.concat();
        let inherited = calls.iter().filter(|other| {
            ["as ", "times "].iter().any(|before| {
                text.split(before).skip(1).any(|rest| {
                    rest.starts_with(other.name) && !rest[other.name.len()..].starts_with('_')
                })
            })
        });
        let mut errors: BTreeSet<_> = named(&text).collect();
        for other in inherited {
            errors.extend(all.get(&other.value).cloned().unwrap_or_default());
        }
        all.insert(call.value, errors);
    }
    all
}

fn name(code: u64) -> String {
    let error = errors::GROUP
        .constants
        .iter()
        .find(|error| error.value == code);
    error.expect("an error of the ABI").name.to_owned()
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..8u64).prop_map(|i| PT + i * PAGE),
        2 => (0..4u64).prop_map(|i| EXEC + i * PAGE),
        2 => Just(DATA),
        1 => Just(ADOPTED),
        1 => prop::sample::select(vec![RO, HOST, SHARED, DATA + 1, LOW - PAGE, PT + 4, u64::MAX]),
    ]
}

fn entry() -> impl Strategy<Value = u64> {
    let index = prop::sample::select(vec![0, 255, 256, 257, 511u64]);
    (address(), index).prop_map(|(table, index)| table.wrapping_add(8 * index))
}

fn value() -> impl Strategy<Value = u64> {
    let flags = prop::sample::subsequence(vec![W, U, NX, A | D, G, PS, 1 << 59], 0..=4)
        .prop_map(|flags| flags.into_iter().fold(P, |all, flag| all | flag));
    prop_oneof![
        8 => (address(), flags).prop_map(|(address, flags)| address & ADDRESS | flags),
        6 => (0..8u64).prop_map(|i| (PT + i * PAGE) | P | W | U | A),
        1 => Just(0),
        1 => any::<u64>(),
    ]
}

fn kind() -> impl Strategy<Value = u64> {
    let kind = prop::sample::select(vec![TABLE_L1, TABLE_L2, TABLE_L3, TABLE_L4, 0, 5]);
    (kind, any::<bool>()).prop_map(|(kind, user)| kind | if user { TABLE_USER } else { 0 })
}

fn small() -> impl Strategy<Value = u64> {
    prop_oneof![0..20u64, Just(u64::MAX)]
}

/// A virtual address, or an index, or anything.
fn virtual_address() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0u64),
        Just(0xffff_ffff_8100_0000),
        Just(0xffff_ffff_8100_0008),
        Just(cki_abi::layout::SLOT_BASE),
        Just(1 << 60),
        any::<u64>()
    ]
}

fn arguments(number: u64) -> BoxedStrategy<[u64; 4]> {
    let four = |a: BoxedStrategy<u64>, b: BoxedStrategy<u64>, c: BoxedStrategy<u64>| {
        (a, b, c).prop_map(|(a, b, c)| [a, b, c, 0]).boxed()
    };
    let nothing = || Just(0u64).boxed();
    let length = |max: u64| prop_oneof![1..=max, Just(0), Just(max + 1), any::<u64>()].boxed();
    match number {
        KSM_TABLE_DECLARE => four(address().boxed(), kind().boxed(), nothing()),
        KSM_TABLE_RELEASE => four(address().boxed(), nothing(), nothing()),
        KSM_ENTRY_SET | KSM_ENTRY_EXCHANGE => four(entry().boxed(), value().boxed(), nothing()),
        KSM_ENTRY_COMPARE_EXCHANGE => {
            let expected = prop_oneof![4 => Just(0), 1 => value()];
            four(entry().boxed(), expected.boxed(), value().boxed())
        }
        KSM_ENTRY_CLEAR => {
            let mask = prop_oneof![Just(W), Just(A | D), any::<u64>()];
            four(entry().boxed(), mask.boxed(), nothing())
        }
        KSM_ENTRY_BATCH => {
            let list = prop_oneof![2 => (0..256u64).prop_map(|i| LISTS + 16 * i), 1 => address()];
            four(list.boxed(), (0..40u64).boxed(), nothing())
        }
        KSM_ROOT_LOAD => {
            let bits = prop_oneof![6 => 0..9u64, 1 => Just(ROOT_NO_FLUSH), 1 => any::<u64>()];
            let root = (address(), bits).prop_map(|(root, bits)| root | bits);
            four(root.boxed(), nothing(), nothing())
        }
        KSM_TEXT_POKE => four(address().boxed(), address().boxed(), length(POKE_MAX)),
        KSM_EXEC_SEAL => four(address().boxed(), length(SEAL_MAX), nothing()),
        KSM_RETURN_SET => {
            let [a, b, c, d] = [
                small().boxed(),
                virtual_address().boxed(),
                virtual_address().boxed(),
                virtual_address().boxed(),
            ];
            (a, b, c, d).prop_map(|(a, b, c, d)| [a, b, c, d]).boxed()
        }
        _ => {
            let any = || prop_oneof![small(), virtual_address(), address()].boxed();
            four(any(), any(), any())
        }
    }
}

/// By number of a call, what a guest was told.
fn told() -> BTreeMap<u64, BTreeSet<String>> {
    let mut runner = TestRunner::deterministic();
    let calls: Vec<_> = (0..KSM_CALLS)
        .map(|number| arguments(number).prop_map(move |a| (number, a)))
        .collect();
    let call = proptest::strategy::Union::new(calls);
    let mut told = BTreeMap::<u64, BTreeSet<String>>::new();
    for round in 0..WORLDS {
        let mut world = World::small(1);
        world.tower(PT, 0);
        // Text with half of an instruction that must not be there, and what would make it whole.
        world.memory.set_bytes(world.frame(EXEC), 0, &[0x0f, 0x38]);
        world
            .memory
            .set_bytes(world.frame(EXEC + PAGE), 0, &[0x0f, 0x38, 0x6b, 0xda]);
        world
            .memory
            .set_bytes(world.frame(DATA), 0, &[0x0f, 0x38, 0x6b, 0xda]);
        let lists = world.frame(LISTS);
        for place in (0..512).step_by(2) {
            for (place, word) in [(place, entry().boxed()), (place + 1, value().boxed())] {
                let word = word.new_tree(&mut runner).expect("a word").current();
                world.memory.poke(lists, place, word);
            }
        }
        if round % 2 == 0 {
            let left = world
                .monitor
                .adopt(ADOPTED, Kind::new(1, true).expect("a kind"));
            assert_ne!(left, Ok(0), "one step is not enough");
        }
        for _ in 0..CALLS {
            let (number, arguments) = call.new_tree(&mut runner).expect("a call").current();
            if let Err(refused) = world.monitor.call(0, number, arguments, &mut world.scratch) {
                told.entry(number)
                    .or_default()
                    .insert(name(refused.why.code()));
            }
        }
    }
    told
}

#[test]
fn every_call_lists_the_errors_that_it_returns_and_no_others() {
    let (documented, told) = (documented(), told());
    let nothing = BTreeSet::new();
    // 2^32 references to a table, and 2^32 - 1 roots: no test gets that far.
    let beyond: BTreeSet<_> = [name(E_LIMIT)].into();
    let mut wrong = Vec::new();
    for call in calls::GROUP
        .constants
        .iter()
        .filter(|call| call.value < KSM_CALLS)
    {
        let listed = &documented[&call.value];
        let told = told.get(&call.value).unwrap_or(&nothing);
        let missing: Vec<_> = told.difference(listed).collect();
        let never: Vec<_> = listed
            .difference(told)
            .filter(|error| !beyond.contains(*error))
            .collect();
        if !missing.is_empty() || !never.is_empty() {
            wrong.push(format!(
                "{}: not listed {missing:?}, listed but never returned {never:?}",
                call.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
