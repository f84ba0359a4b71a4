// SPDX-License-Identifier: MIT OR Apache-2.0

//! What containers cost, in instructions, stays within the limits that `cki-build bench micro` knows.
//!
//! The emulator counts, so the machine's other work changes nothing.

// What is printed is for the reader of a log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;

use cki_tests::cki;

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

/// Documents, and the gates whose counts they give.
const GIVEN: [(&str, &[&str]); 4] = [
    ("docs/understand/page-fault.md", &["entry_set_user_page"]),
    (
        "docs/understand/world-switch.md",
        &["hypercall_event_send", "hypercall_yield"],
    ),
    (
        "docs/understand/ksm.md",
        &[
            "entry_set_user_page",
            "call_version",
            "longest_exec_seal",
            "longest_exec_seal_in_pieces",
            "longest_exec_seal_of_many",
            "longest_table_release",
            "longest_table_release_in_pieces",
            "longest_entry_batch",
            "longest_entry_batch_in_pieces",
            "longest_text_poke",
            "longest_text_poke_in_pieces",
            "longest_table_declare",
            "longest_table_declare_in_pieces",
        ],
    ),
    ("docs/reference/bench.md", &["text_poke_5_bytes"]),
];

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

/// What a document says may be off by this much: a change of some instructions is no reason to write it anew.
const TOLERANCE: f64 = 0.02;

/// The numbers of a text, such as 17,449 and 1.15.
fn numbers(text: &str) -> Vec<f64> {
    text.split(|c: char| !c.is_ascii_digit() && c != ',' && c != '.')
        .filter_map(|word| word.trim_matches([',', '.']).replace(',', "").parse().ok())
        .collect()
}

/// Whether a text has a number that is as good as this one.
fn gives(text: &str, number: f64) -> bool {
    numbers(text)
        .iter()
        .any(|given| (given - number).abs() <= TOLERANCE * number)
}

/// The documents give what has been counted, and promise the limits that are compared with.
fn documents_say_what_was_counted(report: &serde_json::Value) {
    let document = |path: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::read_to_string(root.join(path)).expect("the document")
    };
    let mut wrong = Vec::new();
    for (path, gates) in GIVEN {
        let text = document(path);
        for gate in gates {
            let count = report["gates"][gate].as_u64().expect("a count");
            if !gives(&text, count as f64) {
                wrong.push(format!("{path}: {gate} takes {}", grouped(count)));
            }
        }
    }
    let path = "docs/understand/comparison.md";
    let text = document(path);
    let row = text
        .lines()
        .find(|line| line.starts_with("| **CKI** |") && line.contains('('))
        .expect("the row of the measurements");
    for operation in report["operations"].as_array().expect("a list") {
        let ratio = operation["ratio"].as_f64().expect("a number");
        if !gives(row, ratio) {
            let name = &operation["name"];
            wrong.push(format!("{path}: {name} has the ratio {ratio:.2}"));
        }
    }
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
