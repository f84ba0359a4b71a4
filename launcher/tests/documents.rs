// SPDX-License-Identifier: MIT OR Apache-2.0

//! What docs/reference/commands.md says of the options of `cki` is so, and is all there is.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::cki;

/// The long options that the help of a command lists.
fn options(command: &str) -> BTreeSet<String> {
    let output = cki(&[command, "--help"]);
    let help = String::from_utf8(output.stdout).expect("text");
    let listed = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = match line.split_once(", ") {
            Some((short, long)) if short.len() == 2 => long,
            _ => line,
        };
        let option = line.split([' ', ',']).next()?;
        option.starts_with("--").then(|| option.to_owned())
    });
    listed.filter(|option| option != "--help").collect()
}

/// The long options in the first column of the tables of a text.
fn described(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next())
        .flat_map(|cell| cell.split(['`', ' ']))
        .filter(|word| word.starts_with("--") && word.contains(char::is_alphanumeric))
        .map(str::to_owned)
        .collect()
}

fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).expect("the document")
}

#[test]
fn the_options_of_the_launcher_are_all_described() {
    let commands = document("docs/reference/commands.md");
    let (_, cki) = commands
        .split_once("\n## `cki`, in the host")
        .expect("the section");
    let (_, run) = cki.split_once("\n### `cki run").expect("the section");
    let (run, others) = run.split_once("\n### ").expect("the next section");
    let (own, shared) = (described(run), described(&document("docs/try/programs.md")));
    let has = options("run");
    assert!(has.len() > 30, "{has:?}");
    let described = &own | &shared;
    assert_eq!(has.difference(&described).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(own.difference(&has).collect::<Vec<_>>(), [""; 0]);
    // What the others have besides what is said of their namesakes.
    for command in ["list", "info"] {
        assert!(options(command).contains("--json"), "{command}");
    }
    assert!(others.contains("Both take `--json`"));
    let kill = options("kill");
    assert_eq!(kill, BTreeSet::from(["--device".to_owned()]));
}
