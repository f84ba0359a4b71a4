// SPDX-License-Identifier: MIT OR Apache-2.0

//! One name for each thing on its whole way: the table of `docs/hack/hacking.md` has every option of `run` that is
//! about the program or its container, and what it names is there; so has the launcher's page what `exec` refuses.

use std::collections::BTreeSet;
use std::fs;

use cki_build::cli::Cli;
use cki_house::root;
use clap::CommandFactory as _;

/// Options of `run` that are no part of a message: where and how long something runs, what image it has, what is said.
const ELSEWHERE: [&str; 17] = [
    "runtime",
    "host-kernel",
    "machine",
    "cpus",
    "deb",
    "pinned",
    "lock",
    "locked",
    "image",
    "oci",
    "closure",
    "interactive",
    "rm",
    "init",
    "stop-signal",
    "stop-timeout",
    "timeout",
];

/// Of all commands, and so none of `run`'s own; `--verbose` is both.
const OF_ALL: [&str; 7] = [
    "help",
    "quiet",
    "json",
    "flake",
    "cache",
    "mirror",
    "second-mirror",
];

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands as code in a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table, each with its three cells.
fn rows(text: &str) -> Vec<[&str; 3]> {
    let (_, table) = text
        .split_once("| `cki-build run`, `cki run` | in the [message]")
        .expect("the table");
    let table = table.split("\n\n").next().unwrap_or_default();
    let rows = table.lines().skip(2).map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        [(); 3].map(|()| cells.next().expect("three cells"))
    });
    rows.collect()
}

#[test]
fn an_option_has_one_name_from_the_flag_to_the_process() {
    let text = document("docs/hack/hacking.md");
    let (messages, nixos) = (
        document("docs/reference/session.md"),
        document("docs/reference/nixos.md"),
    );
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("the command");
    let options: BTreeSet<String> = run
        .get_arguments()
        .chain(command.get_arguments())
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect();
    let launchers = document("docs/reference/commands.md");
    let mut named = BTreeSet::new();
    let rows = rows(&text);
    assert!(rows.len() > 20, "only {} rows", rows.len());
    for [flags, fields, settings] in rows {
        for flag in code(flags) {
            let Some(flag) = flag.strip_prefix("--") else {
                // A word of --disk.
                assert!(disk_knows(flag), "--disk knows no {flag}");
                continue;
            };
            let is_there = options.contains(flag) || launchers.contains(&format!("| `--{flag} "));
            assert!(is_there, "there is no --{flag}");
            named.insert(flag.to_owned());
        }
        for field in code(fields) {
            let (form, field) = field.split_once('.').expect("a form and its field");
            let section = messages
                .split_once(&format!("\n## {form}\n"))
                .map(|(_, rest)| rest.split("\n## ").next().unwrap_or_default());
            let has = section.is_some_and(|text| text.contains(&format!("| `{field}` |")));
            assert!(has, "the message's {form} has no {field}");
        }
        for setting in code(settings) {
            let heading = format!("### `services.cki.containers.<name>.{setting}`\n");
            assert!(nixos.contains(&heading), "NixOS has no {setting}");
        }
    }
    for option in &options {
        let known = ELSEWHERE.contains(&option.as_str()) || OF_ALL.contains(&option.as_str());
        assert!(known != named.contains(option), "--{option} has no row");
    }
    for option in ELSEWHERE {
        assert!(options.contains(option), "run has no --{option}");
    }
}

/// Whether a disk's option has this word, by what the help of `run` says of it.
fn disk_knows(word: &str) -> bool {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("the command");
    run.get_arguments()
        .filter(|argument| argument.get_long() == Some("disk"))
        .filter_map(clap::Arg::get_help)
        .any(|help| help.to_string().contains(&format!(":{word}=")))
}

/// What `exec` refuses is a list in the source, in which the compiler misses no field, and one in a document.
#[test]
fn the_launchers_page_names_what_exec_refuses() {
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
        let (part, _) = rest.split_once(to).unwrap_or_else(|| panic!("no {to}"));
        part.to_owned()
    };
    let source = document("abi/session/src/request.rs");
    let made = between(&source, "let made = [", "];");
    let fields: BTreeSet<_> = made.split('"').skip(1).step_by(2).collect();
    assert!(fields.len() > 3, "{fields:?}");
    let page = document("docs/understand/launcher.md");
    let told = between(
        &page,
        "nothing that a container is made with (",
        "are refused)",
    );
    assert_eq!(code(&told).collect::<BTreeSet<_>>(), fields);
}
