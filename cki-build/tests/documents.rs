// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the documents say of the command line is so, and is all there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cki_build::cli::Cli;
use clap::CommandFactory as _;

fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).expect("the document")
}

/// The code spans in the first column of a document's tables.
fn first_column(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_options_of_run_are_all_described() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("the command");
    let options = run
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .map(|long| format!("--{long}"));
    // Those of every command are in its help; two of them matter for a program.
    let of_all = ["--json", "--verbose"].map(str::to_owned);
    let expected: BTreeSet<_> = options.chain(of_all).collect();
    let described: BTreeSet<_> = first_column(&document("docs/try/programs.md"))
        .iter()
        .filter_map(|cell| cell.split(' ').next())
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect();
    assert_eq!(described, expected);
}

#[test]
fn the_statuses_of_run_are_all_described() {
    let text = document("docs/try/programs.md");
    let cli = Cli::command();
    let help = cli
        .get_after_help()
        .expect("the table of statuses")
        .to_string();
    let mut described = 0;
    for line in help.lines() {
        let status = line.split_whitespace().next().unwrap_or_default();
        if status.starts_with("12") {
            assert!(
                text.contains(&format!("| {status} |")),
                "{status} is not described"
            );
            described += 1;
        }
    }
    assert!(described >= 5, "only {described} statuses were recognised");
}

#[test]
fn every_command_that_a_document_shows_exists() {
    let cli = Cli::command();
    let mut shown = 0;
    for path in [
        "README.md",
        "docs/try/first-container.md",
        "docs/try/programs.md",
        "docs/hack/first-change.md",
    ] {
        let text = document(path);
        for line in text.lines() {
            for marker in ["cargo run --release -- ", "cki-build "] {
                for (at, _) in line.match_indices(marker) {
                    let code = line.starts_with("    ") || line[..at].matches('`').count() % 2 == 1;
                    let rest = &line[at + marker.len()..];
                    let word: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
                    if code && !word.is_empty() {
                        assert!(
                            cli.find_subcommand(&word).is_some(),
                            "{path}: no command in `{line}`"
                        );
                        shown += 1;
                    }
                }
            }
        }
    }
    assert!(shown > 15, "only {shown} commands were recognised");
}
