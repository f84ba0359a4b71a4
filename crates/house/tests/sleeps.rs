// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nobody sleeps instead of waiting for what announces that something has happened: a sleep is a moment between two
//! looks, in a loop, or time itself is the subject.

use std::collections::BTreeMap;
use std::fs;

use cki_house::{root, tracked};

/// Files with sleeps outside of loops: how many, and why.
const LISTED: &[(&str, usize, &str)] = &[
    (
        "crates/deploy/src/many.rs",
        1,
        "each of some works takes time, so that they overlap",
    ),
    (
        "crates/inputs/tests/stopped.rs",
        1,
        "all was sent, and nothing tells a test when a download has read it",
    ),
    (
        "crates/inputs/tests/support/mod.rs",
        1,
        "a server that drips: a byte each second",
    ),
    (
        "crates/machine/src/place_test.rs",
        2,
        "a reader that is slow, and a supervisor that takes so long",
    ),
    (
        "crates/machine/src/resident/supervisor.rs",
        1,
        "no thread is left for a client; the next comes no sooner",
    ),
    (
        "crates/machine/src/resident/volumes.rs",
        1,
        "that a client still waits cannot be announced",
    ),
    (
        "crates/machine/src/tsc.rs",
        1,
        "measures how far a counter goes in this time",
    ),
    ("crates/machine/tests/fake/mod.rs", 1, "a sink that is slow"),
    (
        "crates/nix/src/cache.rs",
        1,
        "between attempts, of which there are so many",
    ),
    (
        "init/src/system/machine.rs",
        1,
        "ends with the machine, or when that has not gone",
    ),
    (
        "init/src/system/unhung.rs",
        1,
        "work that takes longer than its patience",
    ),
    (
        "launcher/src/exec/tests/hostile.rs",
        1,
        "runs for longer than the limit of starting",
    ),
    (
        "launcher/src/session/observer.rs",
        1,
        "the next look at clients that cannot be served shall not come at once",
    ),
    (
        "launcher/src/session/tests/endings.rs",
        1,
        "says the same for longer than a program may take to start",
    ),
    (
        "launcher/src/session/tests/streams.rs",
        1,
        "two pieces, and a moment between them",
    ),
    (
        "launcher/tests/standby.rs",
        1,
        "something that never happens cannot be seen; it would within this time",
    ),
    (
        "tests/driver/src/faults.rs",
        1,
        "what is lost is told when it has this age",
    ),
    (
        "tests/driver/src/kicked.rs",
        3,
        "runs here for a tick, and there for less than one",
    ),
    (
        "tests/driver/src/machine.rs",
        1,
        "what the console still has to print, which it does not announce",
    ),
    (
        "tests/driver/src/module.rs",
        2,
        "a kill so long after the start, or memory, was asked for",
    ),
    (
        "tests/driver/src/moved.rs",
        1,
        "a thread changes its CPU with this period",
    ),
    (
        "tests/driver/src/races.rs",
        1,
        "races: calls at times that chance decides",
    ),
    (
        "tests/driver/src/witness.rs",
        1,
        "whoever would be late comes out of the container later than this",
    ),
    (
        "tests/driver/src/woken.rs",
        1,
        "measures how much longer a sleep takes",
    ),
    (
        "tests/tests/network.rs",
        1,
        "a datagram is on its way; when it was lost, the whole is tried again until a deadline",
    ),
    (
        "tests/tests/network_programs.rs",
        1,
        "a reader that pauses, until nothing more fits on the way",
    ),
    (
        "tests/tests/published.rs",
        1,
        "longer than the network waits for what a client may leave out",
    ),
    (
        "tests/tests/session.rs",
        1,
        "a second interrupt that is not a quick one",
    ),
    (
        "tests/tests/terminal.rs",
        2,
        "a key for a job in front: nothing announces yet that it has the terminal",
    ),
    (
        "tests/tests/volumes.rs",
        1,
        "kills at other times of its life, each later than the one before",
    ),
];

/// Whether a line calls a thread's sleep; those of others return when they are told to.
fn sleeps(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let has = |call: &str| code.find(call).is_some_and(|at| !code[..at].contains('"'));
    has("thread::sleep(") || code.trim_start().starts_with("sleep(")
}

/// Whether the line stands in a loop that ends when something holds, by how rustfmt indents.
fn is_in_a_loop(lines: &[&str], at: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut outer = indent(lines[at]);
    for line in lines[..at].iter().rev() {
        let text = line.trim_start();
        if text.is_empty() || indent(line) >= outer {
            continue;
        }
        if text.starts_with("while ") || text.starts_with("loop ") || text.contains("= loop {") {
            return true;
        }
        if text.contains("fn ") {
            return false;
        }
        // A brace alone ends a condition of several lines, which begins as far to the right.
        outer = indent(line) + usize::from(text == "{");
    }
    false
}

fn sleeps_outside_of_loops(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let outside = |&at: &usize| sleeps(lines[at]) && !is_in_a_loop(&lines, at);
    (0..lines.len()).filter(outside).collect()
}

#[test]
fn a_sleep_is_between_two_looks_or_time_is_what_it_is_about() {
    let mut found = BTreeMap::new();
    for path in tracked().into_iter().filter(|path| path.ends_with(".rs")) {
        let text = fs::read_to_string(root().join(&path)).expect("a source");
        let count = sleeps_outside_of_loops(&text).len();
        if count > 0 && path != "crates/house/tests/sleeps.rs" {
            found.insert(path, count);
        }
    }
    let listed = LISTED.iter();
    let listed: BTreeMap<String, usize> = listed
        .map(|(path, count, _)| ((*path).to_owned(), *count))
        .collect();
    assert_eq!(
        found, listed,
        "wait for what announces it, or look again until a deadline; where time is the subject, list it with the reason"
    );
}

#[test]
fn what_is_slept_in_a_loop_is_told_from_what_stands_for_an_event() {
    let function = |body: &str| format!("fn f() {{\n{body}\n}}\n");
    let polls = "    while a\n        && b\n    {\n        match c {\n            \
        _ => thread::sleep(D),\n        }\n    }";
    assert!(sleeps_outside_of_loops(&function(polls)).is_empty());
    let found = "    let found = loop {\n        sleep(D);\n    };";
    assert!(sleeps_outside_of_loops(&function(found)).is_empty());
    let behind = "    while a {\n        b();\n    }\n    std::thread::sleep(D);";
    assert_eq!(sleeps_outside_of_loops(&function(behind)), [4]);
    let thread =
        "    loop {\n        b();\n    }\n    let c = move || {\n        thread::sleep(D);\n    };";
    assert_eq!(sleeps_outside_of_loops(&function(thread)), [5]);
}
