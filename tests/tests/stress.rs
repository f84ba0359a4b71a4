// SPDX-License-Identifier: MIT OR Apache-2.0

//! stress-ng's stressors end in a container as they end natively: those of its classes cpu, filesystem, interrupt,
//! memory, os, pipe, scheduler and vm, each by itself, with its results verified. A tenth of them; all in the long
//! form.

use std::collections::BTreeMap;

use cki_tests::{long, run_on};

const SCRIPT: &[u8] = include_bytes!("../programs/stressors.sh");

/// Signals numbers of processes that it never set, so whoever it strikes is a matter of chance.
const LEFT_OUT: &str = "resources";

/// What ends otherwise, and is to: there are no I/O ports (`docs/reference/differences.md`).
const DIFFERS: [&str; 1] = ["ioport"];

/// The status of each stressor, and what those said that failed.
fn statuses(runtime: &str, step: &str) -> (BTreeMap<String, u8>, String) {
    let options = [
        "-i",
        "--deb",
        "stress-ng",
        "--memory",
        "2G",
        "--timeout",
        "40m",
    ];
    let output = run_on(runtime, &options, &["sh", "-s", step, LEFT_OUT], SCRIPT);
    assert_eq!(output.status, 0, "{runtime}: {}", output.stderr);
    let statuses = output
        .text()
        .lines()
        .map(|line| {
            let (name, status) = line.split_once(' ').expect("a name and a status");
            (name.to_owned(), status.parse().expect("a status"))
        })
        .collect();
    (statuses, output.stderr)
}

#[test]
fn stressors_end_in_a_container_as_natively() {
    let (step, least) = if long() { ("1", 220) } else { ("10", 22) };
    let (mut native, said) = statuses("native", step);
    let (mut container, said_inside) = statuses("cki", step);
    assert!(native.len() >= least, "{} stressors", native.len());
    for name in DIFFERS {
        if let (Some(natively), Some(inside)) = (native.remove(name), container.remove(name)) {
            assert_ne!(natively, inside, "{name} does not differ any more");
        }
    }
    let good = native.values().filter(|&&status| status == 0).count();
    assert!(good * 10 > native.len() * 9, "natively: {native:?}\n{said}");
    let differing: Vec<_> = native
        .iter()
        .map(|(name, status)| (name, status, container.get(name)))
        .filter(|(_, natively, inside)| Some(*natively) != *inside)
        .collect();
    assert!(
        differing.is_empty(),
        "natively, inside: {differing:?}\n{said_inside}"
    );
    assert_eq!(native.len(), container.len());
}
