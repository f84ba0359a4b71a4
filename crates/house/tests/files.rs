// SPDX-License-Identifier: MIT OR Apache-2.0

//! Text files are as `.editorconfig` says, so that a change shows what it changes; and nothing is tracked that a
//! program writes or an editor leaves behind.

use std::fs;

use cki_house::width::too_wide;
use cki_house::{root, tracked};

/// Whether the contents are others' or made, and stay as they are.
fn is_foreign(path: &str) -> bool {
    path.starts_with("LICENSES/") || path.contains("/fixtures/") || path.ends_with(".patch")
}

#[test]
fn text_ends_with_a_newline_and_lines_do_not_end_in_blanks() {
    let mut wrong = Vec::new();
    for path in tracked().into_iter().filter(|path| !is_foreign(path)) {
        let contents = fs::read(root().join(&path)).expect("a file");
        let Ok(text) = String::from_utf8(contents) else {
            wrong.push(format!("{path}: not UTF-8"));
            continue;
        };
        if !text.is_empty() && !text.ends_with('\n') {
            wrong.push(format!("{path}: no newline at the end"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                wrong.push(format!("{path}:{}: a blank at the end", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_droppings_are_tracked() {
    let is_dropping = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ends = [
            "~", ".orig", ".rej", ".swp", ".o", ".ko", ".pyc", ".bak", ".tmp", ".log", ".date.0",
        ];
        ends.iter().any(|end| name.ends_with(end)) || name == ".DS_Store" || name.starts_with(".#")
    };
    let droppings: Vec<_> = tracked().into_iter().filter(is_dropping).collect();
    assert!(droppings.is_empty(), "{droppings:?}");
}

/// A way to say "invalid" that nobody understands who reads it once.
#[test]
fn nothing_is_said_to_be_none_of_its_own_kind() {
    let (one, two) = ("none", "_none");
    let idioms: Vec<String> = ["that is", "that are", "which is", "which are", "and so is"]
        .iter()
        .flat_map(|words| [format!("{words} {one}"), words.replace(' ', "_") + two])
        .collect();
    let mut wrong = Vec::new();
    for path in tracked().into_iter().filter(|path| !is_foreign(path)) {
        let text = fs::read_to_string(root().join(&path)).expect("a text");
        for (number, line) in text.lines().enumerate() {
            if idioms.iter().any(|idiom| line.contains(idiom)) {
                wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "say what it is instead: {wrong:#?}");
}

/// Documents whose text is made of other files: the interfaces' definitions and the NixOS options.
const MADE: [&str; 2] = ["docs/reference/abi.md", "docs/reference/nixos.md"];

/// Where "is no" is a sentence of a program, or of a page that says it on purpose.
const SAID: [(&str, &str); 2] = [
    ("README.md", "is no security boundary"),
    ("docs/try/from-podman.md", "is no image here"),
];

/// Turns of phrase that one has to read twice, in a text whose lines were joined.
fn twisted(text: &str) -> Vec<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let mut found = Vec::new();
    for at in 0..words.len() {
        let of = |from: usize, to: usize| words.get(from..to).unwrap_or_default();
        // "There is no x" is plain, "x is no y" is not: say what x is not, or better what it is.
        let before = at.checked_sub(1).map_or("", |before| words[before]);
        let is_there = before
            .trim_start_matches(['`', '(', '*'])
            .eq_ignore_ascii_case("there");
        let denied = match of(at, at + 3) {
            ["is" | "are" | "was" | "were", "no", what] => {
                !is_there && !what.starts_with("longer") && !what.starts_with("more")
            }
            _ => false,
        };
        let excepted = matches!(of(at, at + 3), ["but", "for", "that" | "those" | "what"]);
        if denied || excepted {
            found.push(of(at.saturating_sub(1), at + 4).join(" "));
        }
    }
    found
}

#[test]
fn documents_have_no_sentence_that_one_has_to_read_twice() {
    let mut wrong = Vec::new();
    let mut said = Vec::new();
    let documents = tracked().into_iter().filter(|path| path.ends_with(".md"));
    for path in documents.filter(|path| !MADE.contains(&path.as_str())) {
        let text = fs::read_to_string(root().join(&path)).expect("a text");
        for phrase in twisted(&text) {
            match SAID
                .iter()
                .find(|(at, words)| *at == path && phrase.contains(words))
            {
                Some(known) => said.push(*known),
                None => wrong.push(format!("{path}: {phrase}")),
            }
        }
    }
    assert!(wrong.is_empty(), "say it in plain words: {wrong:#?}");
    let stale: Vec<_> = SAID.iter().filter(|known| !said.contains(known)).collect();
    assert!(stale.is_empty(), "nobody says this any more: {stale:?}");
}

#[test]
fn what_is_twisted_is_told_from_what_is_plain() {
    let plain = "There is no table. It is no longer one. (there are no others) all but the last";
    assert_eq!(twisted(plain), Vec::<String>::new());
    let wrong = "it is no\n  table, and ends, but for that of others";
    assert_eq!(
        twisted(wrong),
        ["it is no table, and", "ends, but for that of"]
    );
}

#[test]
fn no_line_of_rust_is_wider_than_120_columns() {
    let mut wrong = Vec::new();
    for path in tracked() {
        if !path.ends_with(".rs") {
            continue;
        }
        let text = fs::read_to_string(root().join(&path)).expect("a source");
        let lines = too_wide(&text, 120).unwrap_or_else(|error| panic!("{path}: {error}"));
        wrong.extend(lines.iter().map(|number| format!("{path}:{number}")));
    }
    assert!(wrong.is_empty(), "break these lines: {wrong:#?}");
}
