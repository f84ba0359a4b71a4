// SPDX-License-Identifier: MIT OR Apache-2.0

//! Models of a plan, `docs/understand/monitor-2.md`, which is not built: of its words and transitions, small enough to
//! go through every interleaving. They say nothing of the monitor that there is.
//!
//! With each rule of the plan left out, a state is reached in which isolation does not hold: so the rule is needed, and
//! the search is able to find.
//!
//! Used by: nothing; it is tests. May use: no crate of ours.

#![forbid(unsafe_code)]
#![cfg(test)]

mod chunks;
mod explorer;
mod tables;
mod vcpu;

use explorer::{Model, explore};
use vcpu::Rules;

/// How many states there are, none of which is broken.
fn states_that_hold(start: &impl Model) -> usize {
    match explore(start) {
        Ok(states) => states,
        Err(broken) => panic!("{broken}"),
    }
}

/// Without each of the rules, what breaks is what is named: a model that breaks for another reason shows nothing.
fn breaks<M: Model>(how: &str, needed: &[(&str, Rules)], start: impl Fn(Rules) -> M) {
    for (rule, rules) in needed {
        match explore(&start(*rules)) {
            Ok(states) => panic!("nothing breaks without \"{rule}\" in {states} states"),
            Err(broken) => {
                assert!(broken.what.contains(how), "without \"{rule}\": {broken}");
            }
        }
    }
}

// The numbers of states are those of the page that describes the models (`monitor-2-attacks.md`).

#[test]
fn no_interleaving_reads_a_table_as_another_kind() {
    let start = tables::State::start(Rules::ALL);
    assert_eq!(states_that_hold(&start), 175_660);
}

#[test]
fn without_each_rule_about_tables_one_is_read_as_another_kind() {
    breaks(
        "read as of another kind",
        tables::NEEDED,
        tables::State::start,
    );
}

#[test]
fn no_interleaving_leaves_a_way_to_a_chunk_that_went() {
    let start = chunks::State::start(Rules::ALL, 2);
    assert_eq!(states_that_hold(&start), 1_001_475);
}

#[test]
fn without_each_rule_about_chunks_there_is_a_way_to_one_that_went() {
    breaks("a chunk that went", chunks::NEEDED, |rules| {
        chunks::State::start(rules, 1)
    });
}
