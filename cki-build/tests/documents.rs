// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the documents say of the command line is so, and is all there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cki_build::cli::Cli;
use clap::CommandFactory as _;
use tables::first_column;

#[path = "../../crates/book/src/tables.rs"]
mod tables;

fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).expect("the document")
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
    let names = other_names(run, "run", &document("docs/try/programs.md"));
    assert!(names.is_empty(), "{names:#?}");
}

#[test]
fn the_exit_statuses_are_all_described() {
    let text = document("docs/try/programs.md");
    let (_, table) = text.split_once("\n| status |").expect("the table");
    let described = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| "));
    let described: Vec<_> = described.filter_map(|row| row.split(' ').next()).collect();
    let cli = Cli::command();
    let help = cli
        .get_after_help()
        .expect("the table of statuses")
        .to_string();
    let told = help.lines().filter_map(|line| line.strip_prefix("  "));
    let told = told.filter(|line| !line.starts_with(' '));
    let told: Vec<_> = told.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(told, ["0", "1", "124", "125", "126", "127", "128+N"]);
    assert_eq!(described, told);
}

/// The documents of the checkout. What changed names commands that are gone, and is left out.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z", "*.md"])
        .current_dir(root)
        .output()
        .expect("git");
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    let paths = paths.filter(|path| *path != "CHANGELOG.md");
    paths.map(str::to_owned).collect()
}

/// The command lines of `cki-build` in the code of a line of a document, without the program.
fn shown(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for marker in ["cargo run --release -- ", "cki-build "] {
        for (at, _) in line.match_indices(marker) {
            let is_block = line.starts_with("    ");
            let is_span = line[..at].matches('`').count() % 2 == 1;
            let rest = &line[at + marker.len()..];
            if is_block || is_span {
                found.push(rest.split('`').next().unwrap_or(rest));
            }
        }
    }
    found
}

/// The first word of a command line that is no command, if there is one. What is not in small letters is an option, or
/// a name for the reader to fill in.
fn unknown<'a>(cli: &clap::Command, line: &'a str) -> Option<&'a str> {
    let mut at = cli;
    for word in line.split(' ') {
        let is_command = word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(char::is_alphanumeric);
        if !is_command || !at.has_subcommands() {
            return None;
        }
        match at.find_subcommand(word) {
            Some(command) => at = command,
            None => return Some(word),
        }
    }
    None
}

#[test]
fn every_command_that_a_document_shows_exists() {
    let cli = Cli::command();
    let mut looked = 0;
    let mut wrong = Vec::new();
    for path in documents() {
        for line in document(&path).lines() {
            for shown in shown(line) {
                looked += 1;
                if let Some(word) = unknown(&cli, shown) {
                    wrong.push(format!("{path}: no command `{word}` in `{}`", line.trim()));
                }
            }
        }
    }
    assert!(looked > 150, "only {looked} commands were recognised");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_command_that_there_is_not_is_found_in_a_document() {
    let cli = Cli::command();
    let of = |line| {
        let shown = shown(line).into_iter();
        shown
            .filter_map(|shown| unknown(&cli, shown))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("    cki-build rnu --deb python3 -- python3"), ["rnu"]);
    assert_eq!(of("say `cki-build run`, or `cki-build mirorr`"), ["mirorr"]);
    assert_eq!(
        of("    cargo run --release -- machine strat NAME"),
        ["strat"]
    );
    assert!(of("`cki-build machine start a`, and cki-build finds it").is_empty());
    assert!(of("    cki-build check exit_status").is_empty());
}

/// Options whose value has another name in a document than in the help.
fn other_names(command: &clap::Command, path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for cell in first_column(text) {
        let (option, value) = cell.split_once(' ').unwrap_or((&cell, ""));
        let argument = command.get_arguments().find(|argument| {
            argument
                .get_long()
                .is_some_and(|long| option == format!("--{long}"))
        });
        let Some(argument) = argument else { continue };
        let takes = argument.get_action().takes_values();
        let id = argument.get_id().as_str().to_uppercase();
        let names = argument
            .get_value_names()
            .map_or(id, |names| names[0].to_string());
        let name = if takes { names } else { String::new() };
        if value != name {
            wrong.push(format!("`{path}`: {option} takes `{name}`, not `{value}`"));
        }
    }
    wrong
}

/// Sizes and numbers below zero are for their own parsers to refuse: clap's tip, `-- -5`, leads nowhere.
#[test]
fn a_value_that_is_a_size_or_a_number_may_begin_with_a_hyphen() {
    let mut all = Vec::new();
    commands(&Cli::command(), "", &mut all);
    let mut seen = 0;
    for (path, command) in &all {
        for argument in command.get_opts() {
            // A name of a size, such as tiny, is none.
            let is_number = argument.get_possible_values().is_empty()
                && argument.get_value_names().is_some_and(|names| {
                    ["SIZE", "N", "N[,...]", "TIME", "PERCENT"].contains(&names[0].as_str())
                });
            if is_number {
                let name = argument.get_id();
                assert!(argument.is_allow_hyphen_values_set(), "{path}: {name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 15, "only {seen} options were recognised");
}

/// A command, the words that call it, and whether nobody else's options are in it.
fn commands(command: &clap::Command, path: &str, to: &mut Vec<(String, clap::Command)>) {
    for child in command
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
    {
        let path = format!("{path}{}", child.get_name());
        if child.has_subcommands() {
            commands(child, &format!("{path} "), to);
        } else {
            to.push((path, child.clone()));
        }
    }
}

/// The part of a document below the heading that begins so.
fn section<'a>(text: &'a str, heading: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = text.split_once(&format!("\n### `{heading}"))?;
    let (title, rest) = rest.split_once("`\n")?;
    let is_whole = title.is_empty() || title.starts_with(' ');
    let end = rest.find("\n##").unwrap_or(rest.len());
    is_whole.then_some((title, &rest[..end]))
}

#[test]
fn every_command_and_its_options_are_described() {
    let text = document("docs/reference/commands.md");
    let long = |argument: &clap::Arg| argument.get_long().map(|long| format!("--{long}"));
    let described = |text: &str| -> BTreeSet<String> {
        let words = first_column(text);
        let words = words.iter().filter_map(|cell| cell.split(' ').next());
        let words = words.filter(|word| word.starts_with("--"));
        words.map(str::to_owned).collect()
    };
    let mut wrong = Vec::new();
    let cli = Cli::command();
    wrong.extend(other_names(&cli, "", &text));
    let (_, of_all) = text
        .split_once("## Options of every command")
        .expect("the section");
    let of_all = described(of_all.split("\n## ").next().unwrap_or_default());
    let expected: BTreeSet<_> = cli.get_arguments().filter_map(long).collect();
    let expected = &expected | &["--help", "--version"].map(str::to_owned).into();
    assert_eq!(of_all, expected);
    let mut all = Vec::new();
    commands(&cli, "", &mut all);
    for (path, command) in &all {
        let Some((title, section)) = section(&text, path) else {
            wrong.push(format!("no heading of `{path}`"));
            continue;
        };
        for argument in command.get_positionals() {
            let id = argument.get_id().as_str().to_uppercase();
            let name = argument
                .get_value_names()
                .map_or(id, |names| names[0].to_string());
            if path != "run" && !title.contains(&name) {
                wrong.push(format!("`{path}` takes {name}"));
            }
        }
        wrong.extend(other_names(command, path, section));
        let options: BTreeSet<_> = command.get_arguments().filter_map(long).collect();
        if path != "run" && described(section) != options {
            wrong.push(format!("`{path}` has {options:?}"));
        }
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_long().is_some())
        {
            let row = format!("| `--{}", argument.get_long().unwrap_or_default());
            let row = section.lines().find(|line| line.starts_with(&row));
            for default in argument.get_default_values() {
                let default = default.to_string_lossy().replace(',', "");
                let digits = row.unwrap_or_default().replace(',', "");
                if path != "run" && !digits.contains(&default) {
                    wrong.push(format!("`{path}`: {} is {default}", argument.get_id()));
                }
            }
        }
    }
    assert!(all.len() > 20, "only {} commands", all.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_users_of_other_engines_type_is_described_as_it_is_answered() {
    use cki_build::elsewhere::{COMMANDS, OF_OTHERS, OF_RUN};
    let text = document("docs/try/from-podman.md");
    let rows: Vec<String> = [COMMANDS, OF_OTHERS, OF_RUN]
        .into_iter()
        .flatten()
        .map(|row| {
            let typed: Vec<_> = row.typed.iter().map(|typed| format!("`{typed}`")).collect();
            format!("| {} | {} |", typed.join(", "), row.here)
        })
        .collect();
    let (_, others) = text.split_once("\n## Other commands").expect("the section");
    let described = others.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(described.collect::<Vec<_>>(), rows);
}

#[test]
fn what_is_the_same_as_elsewhere_is_accepted() {
    let text = document("docs/try/from-podman.md");
    let (_, same) = text.split_once("\n## The same").expect("the section");
    let (same, _) = same.split_once("\n## ").expect("the next section");
    let run = Cli::command();
    let run = run.find_subcommand("run").expect("the command");
    let mut known = 0;
    for cell in first_column(same) {
        let mut words = cell.split(' ').filter(|word| word.starts_with('-'));
        // A line as one types it there has other words behind the option.
        if cell.starts_with("podman") {
            continue;
        }
        let option = words.next().unwrap_or_default();
        let is_known = run.get_arguments().any(|argument| {
            let aliases = argument.get_all_aliases().unwrap_or_default();
            aliases.iter().any(|alias| option == format!("--{alias}"))
                || argument
                    .get_long()
                    .is_some_and(|long| option == format!("--{long}"))
                || argument
                    .get_short()
                    .is_some_and(|short| option == format!("-{short}"))
        });
        assert!(is_known || option.is_empty(), "run has no {option}");
        known += usize::from(is_known);
    }
    assert!(known > 25, "only {known}");
    for line in [
        "run --rm -it -- sh",
        "run --rm --oci a.tar -it -- sh",
        "run -e A=1 -e HOME --env-file f -w / -u 1 --hostname h --read-only -- a",
        "run -v .:/work -v /a:/b:ro -p 8080:80 -p 127.0.0.1:53:53/udp --dns 192.0.2.1 -- a",
        "run -m 512m --cpus 1 --cap-drop all --cap-add kill --stop-signal INT --stop-timeout 10 -- a",
        "exec -it web -- sh",
        "kill web TERM",
    ] {
        let words = std::iter::once("cki-build").chain(line.split(' '));
        assert!(Cli::command().try_get_matches_from(words).is_ok(), "{line}");
    }
}
