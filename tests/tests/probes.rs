// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program finds when it looks where it runs: in a container what it finds natively, on the same computer and
//! with as much memory, but for what `docs/reference/differences.md` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cki_tests::run_on;

const PROGRAM: &[u8] = include_bytes!("../programs/probes.py");

/// What is answered otherwise: what, natively, in a container. `-` is no answer, or nothing there.
type Differences = BTreeSet<(String, String, String)>;

fn answers(runtime: &str) -> BTreeMap<String, String> {
    let output = run_on(
        runtime,
        &["-i", "--deb", "python3"],
        &["python3", "-"],
        PROGRAM,
    );
    assert_eq!(output.status, 0, "{runtime}: {}", output.stderr);
    let text = output.text();
    let answers: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(what, answer)| (what.to_owned(), answer.to_owned()))
        .collect();
    assert!(answers.len() > 2000, "{runtime}: {} answers", answers.len());
    answers
}

/// Whether two answers are of one or more numbers, each of which follows from the size of memory: a container keeps
/// some of its own for page tables.
fn follow_from_memory(what: &str, one: &str, other: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<f64>> {
        text.split(['(', ')', ' ', ',', '/'])
            .filter(|word| !word.is_empty())
            .map(|word| word.parse().ok())
            .collect()
    };
    let (Some(one), Some(other)) = (numbers(one), numbers(other)) else {
        return false;
    };
    let is_counted = ["/proc/sys/", "RLIMIT_", "status SigQ"]
        .iter()
        .any(|start| what.starts_with(start));
    is_counted
        && one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| {
            one == other || *one > 100.0 && (0.85..1.0).contains(&(other / one))
        })
}

fn differences(
    native: &BTreeMap<String, String>,
    container: &BTreeMap<String, String>,
) -> Differences {
    let none = "-".to_owned();
    native
        .keys()
        .chain(container.keys())
        .map(|what| {
            let answer =
                |answers: &BTreeMap<String, String>| answers.get(what).unwrap_or(&none).clone();
            (what.clone(), answer(native), answer(container))
        })
        .filter(|(what, one, other)| one != other && !follow_from_memory(what, one, other))
        .collect()
}

/// The rows of the page's table. A cell may name several things, with a comma between them.
fn documented() -> Differences {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/differences.md");
    let page = fs::read_to_string(page).expect("the page");
    let rows = page
        .lines()
        .skip_while(|line| *line != "| what | natively | in a container | why |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut all = Differences::new();
    for row in rows {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect();
        let [_, what, natively, inside, why, _] = &cells[..] else {
            panic!("{row}");
        };
        assert!(!why.is_empty(), "{row}");
        let (group, names) = what
            .split_once(": ")
            .map_or(("", &what[..]), |(group, names)| (group, names));
        for name in names.split(", ") {
            let what = format!("{group}{}{name}", if group.is_empty() { "" } else { " " });
            assert!(
                all.insert((what, natively.clone(), inside.clone())),
                "twice: {row}"
            );
        }
    }
    all
}

#[test]
fn a_container_differs_from_a_native_system_by_what_is_listed() {
    let found = differences(&answers("native"), &answers("cki"));
    let listed = documented();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let vanished: Vec<_> = listed.difference(&found).collect();
    assert!(
        unlisted.is_empty() && vanished.is_empty(),
        "not in docs/reference/differences.md: {unlisted:#?}\nthere, but no longer so: {vanished:#?}"
    );
}
