// SPDX-License-Identifier: MIT OR Apache-2.0

//! Figures of the documents: each has a source, and what is said twice is the same. Whether those that are counted are
//! what is counted, the suite `counts` of `tests/` tells.

use std::collections::BTreeMap;
use std::path::Path;

use cki_book::figures::SENTENCES;
use cki_book::tree::Tree;

const COMPARISON: &str = "docs/understand/comparison.md";

fn tree() -> Tree {
    Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the tree")
}

fn text(document: &str) -> String {
    tree().text(document).expect("the document")
}

/// A text without its line ends.
fn flat(document: &str) -> String {
    text(document)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The tables of a document, each as its rows' cells; the first row is the heading.
fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    let mut tables = vec![Vec::new()];
    for line in text.lines() {
        match line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'))
        {
            Some(row) if row.starts_with("--") => {}
            Some(row) => {
                let cells = row.split('|').map(|cell| cell.trim().replace("**", ""));
                tables.last_mut().expect("one").push(cells.collect());
            }
            None => tables.push(Vec::new()),
        }
    }
    tables.retain(|table: &Vec<_>| !table.is_empty());
    tables
}

#[test]
fn each_figure_that_is_counted_stands_where_it_is_looked_for() {
    let mut figures = 0;
    for sentence in SENTENCES {
        let found = sentence.read(&text(sentence.document));
        let found = found.unwrap_or_else(|| {
            panic!("{} does not say `{}`", sentence.document, sentence.text);
        });
        assert_eq!(found.len(), sentence.of.len(), "{}", sentence.text);
        figures += found.len();
    }
    assert!(figures > 40, "only {figures}");
}

/// The ratios of a table, by row and column.
fn ratios(table: &[Vec<String>], in_brackets: bool) -> BTreeMap<(String, String), f64> {
    let mut found = BTreeMap::new();
    for row in &table[1..] {
        // "Xen 4.17 PV" and "Xen 4.17 PV (dom0)" are one; so are versions of gVisor.
        let name = row[0].split([',', ' ']).next().unwrap_or_default();
        for (heading, cell) in table[0].iter().zip(row).skip(1) {
            let ratio = match cell.split_once('(') {
                Some((_, ratio)) if in_brackets => ratio.trim_end_matches(')'),
                None if !in_brackets => cell,
                _ => continue,
            };
            if let Ok(ratio) = ratio.parse() {
                found.insert((name.to_owned(), heading.clone()), ratio);
            }
        }
    }
    found
}

#[test]
fn the_readme_has_the_figures_of_the_comparison() {
    let of = |document: &str, heading: &str| {
        let tables = tables(&text(document));
        let is_it = |table: &Vec<Vec<String>>| table[0].iter().any(|cell| cell == heading);
        tables.into_iter().find(is_it).expect("the table")
    };
    let readme = ratios(&of("README.md", "getpid"), false);
    let comparison = ratios(&of(COMPARISON, "getpid"), true);
    assert_eq!(readme.len(), 9, "{readme:?}");
    for (place, ratio) in &readme {
        assert_eq!(comparison.get(place), Some(ratio), "{place:?}");
    }
    // Those of applications are on the page that says how they were counted.
    let (readme, page) = (flat("README.md"), flat("docs/reference/bench.md"));
    for words in ["1.001 to 1.015 times", "1.07 to 1.25 times"] {
        assert!(readme.contains(words) && page.contains(words), "{words}");
    }
}

#[test]
fn each_figure_of_the_comparison_has_its_source() {
    let text = text(COMPARISON);
    let is_counted = |row: &[String]| {
        let start = format!("| {} |", row[0]).replace("| CKI |", "| **CKI** |");
        SENTENCES
            .iter()
            .any(|sentence| sentence.document == COMPARISON && sentence.text.starts_with(&start))
    };
    let mut rows = 0;
    for table in tables(&text) {
        let has_figures = |row: &[String]| row.iter().skip(1).any(|cell| figure_in(cell));
        if !table[1..].iter().any(|row| has_figures(row)) && table[0].len() != 2 {
            continue;
        }
        assert_eq!(
            table[0].last().map(String::as_str),
            Some("source"),
            "{:?}",
            table[0]
        );
        for row in &table[1..] {
            let source = row.last().expect("a cell");
            assert!(source.len() > 5, "{row:?} has no source");
            assert_eq!(is_counted(row), source == "counted", "{row:?}");
            rows += 1;
        }
    }
    assert!(rows >= 9, "only {rows} rows");
    for word in ["*Counted*: what", "*Reported*: reference figures"] {
        assert!(text.contains(word), "{word}");
    }
}

/// Whether a cell has a number, and one that is not as short as the 0 of "ring 0".
fn figure_in(cell: &str) -> bool {
    cell.split(' ')
        .any(|word| word.len() > 1 && word.starts_with(|c: char| c.is_ascii_digit()))
}

#[test]
fn the_readme_counts_what_there_is() {
    let tree = tree();
    let readme = flat("README.md");
    let attacks = tree.files_below("tests/mutants/", ".patch").count();
    let model = text("docs/understand/threat-model.md");
    let invariants = (1..)
        .take_while(|n| model.contains(&format!("\n**I{n} ")))
        .count();
    assert_eq!(invariants, 9, "the README says nine in words");
    let workspace = tree.text("Cargo.toml").expect("the file");
    let rust = workspace
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .expect("a version")
        .trim_matches('"');
    let space = tree.text("crates/doctor/src/checks.rs").expect("the file");
    let space = space
        .lines()
        .find_map(|line| line.strip_prefix("const NEEDED_SPACE: u64 = "))
        .and_then(|value| value.strip_suffix(" << 30;"))
        .expect("what doctor asks for");
    let lock = tree.text("nix/debian/lock.json").expect("the file");
    for sentence in [
        "[Nine invariants]".to_owned(),
        format!("{attacks} attacks are carried out"),
        format!(
            "of {} of them a check of the monitor's, of one the CPU's extension",
            attacks - 1
        ),
        format!("Rust {rust} or later"),
        format!("{space} GiB of disk"),
    ] {
        assert!(
            readme.contains(&sentence),
            "README.md does not say `{sentence}`"
        );
    }
    for document in ["CONTRIBUTING.md", "docs/try/first-container.md"] {
        let sentence = format!("{space} GiB of disk");
        assert!(flat(document).contains(&sentence), "{document}: {sentence}");
    }
    let kernel = "6.12";
    let map = flat("docs/hack/hacking.md");
    assert!(map.contains(&format!("Linux {kernel}, for containers")));
    assert!(readme.contains(&format!("Debian's own {kernel} (of backports), unpatched")));
    assert!(lock.contains(&format!("\"linux-image-{kernel}.")));
}
