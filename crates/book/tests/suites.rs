// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of what the suites take, in `docs/hack/tests.md`: each suite once, no other, and within the limit.

use std::collections::BTreeSet;
use std::path::Path;

use cki_book::tree::Tree;

/// A row: the suites that it names, the seconds that they took, and those that they may take.
struct Row {
    suites: Vec<String>,
    took: u32,
    may_take: u32,
}

fn tree() -> Tree {
    Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the tree")
}

/// The section of the document that is about time.
fn section(tree: &Tree) -> String {
    let text = tree.text("docs/hack/tests.md").expect("the document");
    let (_, rest) = text
        .split_once("## How long they take\n")
        .expect("the section");
    let (section, _) = rest.split_once("\n##").expect("its end");
    section.to_owned()
}

/// A time such as `12 s` or `1 min`, in seconds.
fn seconds(cell: &str) -> Option<u32> {
    let (number, unit) = cell.trim().split_once(' ')?;
    let number: u32 = number.parse().ok()?;
    match unit {
        "s" => Some(number),
        "min" => Some(60 * number),
        _ => None,
    }
}

fn rows(section: &str) -> Vec<Row> {
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines
        .skip(1)
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').collect();
            let [suites, took, may_take] = cells[..] else {
                panic!("{line} has not three cells");
            };
            Row {
                suites: suites
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect(),
                took: seconds(took).expect(line),
                may_take: seconds(may_take).expect(line),
            }
        })
        .collect()
}

#[test]
fn the_time_of_each_suite_is_listed_once() {
    let tree = tree();
    let files: BTreeSet<String> = tree
        .files_below("tests/tests/", ".rs")
        .filter_map(|path| {
            let name = path.strip_prefix("tests/tests/")?.strip_suffix(".rs")?;
            // A suite of several files is a directory with a main.rs.
            let name = name.strip_suffix("/main").unwrap_or(name);
            (!name.contains('/')).then(|| name.to_owned())
        })
        .collect();
    let listed: Vec<_> = rows(&section(&tree))
        .into_iter()
        .flat_map(|row| row.suites)
        .collect();
    let names: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(names, files);
    assert_eq!(listed.len(), names.len(), "one is listed twice: {listed:?}");
}

#[test]
fn no_suite_and_not_all_of_them_together_take_more_than_they_may() {
    let section = section(&tree());
    let rows = rows(&section);
    for row in &rows {
        assert!(
            row.took <= row.may_take,
            "{:?} took {} s of {}",
            row.suites,
            row.took,
            row.may_take
        );
    }
    let words: Vec<_> = section.split_whitespace().collect();
    let limit = words
        .windows(5)
        .find_map(|words| match words {
            ["may", "take", number, "minutes.", _] => number.parse::<u32>().ok(),
            _ => None,
        })
        .expect("what all may take together");
    let all: u32 = rows.iter().map(|row| row.may_take).sum();
    assert!(all <= 60 * limit, "together {all} s of {limit} min");
    let said = words.windows(3).find_map(|words| match words {
        [number, "minutes", "with"] => number.parse::<u32>().ok(),
        _ => None,
    });
    let (said, took) = (
        said.expect("what all took"),
        rows.iter().map(|row| row.took).sum::<u32>(),
    );
    assert!(
        took.abs_diff(60 * said) <= 60,
        "together {took} s, and not {said} min"
    );
}
