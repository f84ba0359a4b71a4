// SPDX-License-Identifier: MIT OR Apache-2.0

//! What containers cost, in instructions, stays within the limits that `cki-build bench micro` knows.
//!
//! The emulator counts, so the machine's other work changes nothing.

// What is printed is for the reader of a log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;

use cki_tests::cki;

#[path = "../../crates/book/src/figures.rs"]
mod figures;
use figures::{Of, SENTENCES};

/// Limits that are known to be missed, and the largest value that is put up with: what the numbers are
/// is in docs/reference/bench.md.
const MISSED: [(&str, f64); 1] = [("container start / boot of the host's kernel", 1.28)];

#[test]
fn containers_cost_what_is_promised() {
    let output = cki(["bench", "micro", "--json"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let result: serde_json::Value = serde_json::from_str(output.text()).expect("JSON");
    let criteria = result["report"]["criteria"].as_array().expect("a list");
    let mut wrong = Vec::new();
    for criterion in criteria {
        let name = criterion["name"].as_str().expect("a name");
        let number = |field: &str| criterion[field].as_f64().expect("a number");
        let limit = MISSED
            .iter()
            .find(|(missed, _)| *missed == name)
            .map_or(number("limit"), |(_, limit)| *limit);
        println!("{name}: {} of {limit}", number("measured"));
        if number("measured") > limit {
            wrong.push(name);
        }
        assert_eq!(criterion["met"], number("measured") <= number("limit"));
    }
    assert!(wrong.is_empty(), "over their limits: {wrong:?}");
    assert_eq!(criteria.len(), 9);
    documents_say_what_was_counted(&result["report"]);
}

/// Criteria, and how the specification promises their limits.
const PROMISED: [(&str, &str); 5] = [
    (
        "getpid, container / native",
        "getpid in a container at most {} times native",
    ),
    (
        "anonymous page fault, container / native",
        "at most one KSM call, at most {} times native",
    ),
    (
        "KSM_ENTRY_SET, gate to gate, instructions",
        "A set-entry call at most {} instructions, gate to gate",
    ),
    (
        "hypercall to the module and back, instructions",
        "A hypercall to the module and back, with as little to do as sending an event, at most {} |",
    ),
    (
        "hypercall to the module and back, flushes of a whole TLB",
        "takes at most {} flushes of a whole TLB",
    ),
];

/// What a figure of a document is in the report.
fn counted(report: &serde_json::Value, of: Of) -> f64 {
    let operation = |name: &str, field: &str| {
        let operations = report["operations"].as_array().expect("a list");
        let found = operations.iter().find(|found| found["name"] == name);
        found.unwrap_or_else(|| panic!("{name} was not measured"))[field].as_f64()
    };
    let number = match of {
        Of::Gate(gate) => report["gates"][gate].as_f64(),
        Of::Native(name) => operation(name, "native"),
        Of::Container(name) => operation(name, "container"),
        Of::Ratio(name) => operation(name, "ratio"),
        Of::Launcher => report["launcher_bytes"]
            .as_f64()
            .map(|n| n / f64::from(1 << 20)),
        Of::Start => report["container_starts"][0].as_f64().map(|n| n / 1e6),
    };
    number.unwrap_or_else(|| panic!("{of:?} was not counted"))
}

/// The documents give what has been counted, each figure in its place, and promise the limits that are compared with.
fn documents_say_what_was_counted(report: &serde_json::Value) {
    let document = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::read_to_string(root.join(path)).expect("the document")
    };
    let mut wrong = Vec::new();
    let mut read = 0;
    for sentence in SENTENCES {
        let path = sentence.document;
        let Some(figures) = sentence.read(&document(path)) else {
            wrong.push(format!("{path} does not say `{}`", sentence.text));
            continue;
        };
        for (of, given) in sentence.of.iter().zip(figures) {
            let counted = counted(report, *of);
            println!("{path}: {of:?}: {given}, and counted {counted:.3}");
            if !of.is_as_good_as(given, counted) {
                wrong.push(format!("{path}: {of:?} is {counted:.3}, not {given}"));
            }
            read += 1;
        }
    }
    assert!(read > 40, "only {read} figures");
    let path = "docs/reference/specification.md";
    let text = document(path);
    for (name, promise) in PROMISED {
        let criteria = report["criteria"].as_array().expect("a list");
        let criterion = criteria
            .iter()
            .find(|criterion| criterion["name"] == name)
            .expect("the criterion");
        let limit = criterion["limit"].as_f64().expect("a number");
        let limit = if limit.fract() == 0.0 {
            grouped(limit as u64)
        } else {
            limit.to_string()
        };
        let promise = promise.replace("{}", &limit);
        if !text.contains(&promise) {
            wrong.push(format!("{path}: does not say `{promise}`"));
        }
    }
    assert!(wrong.is_empty(), "not as counted: {wrong:#?}");
}

/// A number as documents write it: 17,449.
fn grouped(number: u64) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", grouped(number / 1000), number % 1000)
    }
}
