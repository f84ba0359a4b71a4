// SPDX-License-Identifier: MIT OR Apache-2.0

//! Documents name tests and functions: they exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories with tests.
const SOURCES: [&str; 10] = [
    "abi",
    "bench",
    "cki-build",
    "crates",
    "init",
    "ksm",
    "launcher",
    "tests/driver",
    "tests/tests",
    "tests/src",
];
/// How names begin that the suites make: of the rest there is a literal where the second says.
const MADE: [(&str, &str); 10] = [
    ("attack_refused_", "tests/mutants"),
    ("attack_succeeds_without_its_check_", "tests/mutants"),
    ("entry_refused_", "tests/driver/src/refusals.rs"),
    ("call_refused_", "tests/driver/src/refusals.rs"),
    ("iret_refused_", "tests/driver/src/refusals.rs"),
    ("instruction_refused_", "tests/driver/src/cases.rs"),
    ("access_refused_", "tests/driver/src/cases.rs"),
    ("nmi_at_every_instruction_of_a_", "tests/driver/src"),
    (
        "machine_check_at_every_instruction_of_a_",
        "tests/driver/src",
    ),
    (
        "second_nmi_at_every_instruction_behind_one_in_a_",
        "tests/driver/src",
    ),
];
/// How names of variants end, of each of which there is a patch.
const NOTICED: &str = "_is_noticed";
/// What a row says that has no test.
const NONE: &str = "**no test**";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("the document")
}

fn read(path: &Path, into: &mut String) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            read(&entry.path(), into);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        into.push_str(&fs::read_to_string(path).expect("a source"));
    }
}

/// All Rust below some paths.
fn sources<'a>(paths: impl IntoIterator<Item = &'a str>) -> String {
    let mut all = String::new();
    for path in paths {
        read(&root().join(path), &mut all);
    }
    all
}

/// Code spans of a text.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a directory has a file `NN-NAME.patch`.
fn has_patch(directory: &str, name: &str) -> bool {
    let files = fs::read_dir(root().join(directory)).expect("patches");
    let files = files.map(|entry| entry.expect("an entry").file_name());
    files.into_iter().any(|file| {
        let file = file.to_string_lossy();
        let stem = file.strip_suffix(".patch").unwrap_or_default();
        stem.split_once('-').is_some_and(|(_, it)| it == name)
    })
}

/// What tests there are: functions with the attribute, and the cases and trials that have a literal.
struct Tests {
    functions: BTreeSet<String>,
    literals: String,
}

impl Tests {
    fn read() -> Self {
        let all = sources(SOURCES);
        let mut functions: BTreeSet<String> = all
            .split("#[test]")
            .skip(1)
            .filter_map(|behind| {
                let (_, name) = behind.split_once("fn ")?;
                Some(name.split('(').next()?.to_owned())
            })
            .collect();
        // Of those that run as another user.
        let named = all.split("named!(").skip(1);
        functions.extend(named.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        // This file has names of what is not there.
        let suites = fs::read_dir(root().join("tests/tests")).expect("the suites");
        let mut literals = sources(["tests/driver/src"]);
        for entry in suites.flatten() {
            if entry.file_name() != "specification.rs" {
                read(&entry.path(), &mut literals);
            }
        }
        Tests {
            functions,
            literals,
        }
    }

    /// Why there is no such test.
    fn lack(&self, name: &str) -> Option<String> {
        let quoted = |name: &str| format!("\"{name}\"");
        if name.contains('-') {
            let program = root().join(format!("emulator/tests/cases/{name}.S"));
            return (!program.is_file()).then(|| format!("no program {name}"));
        }
        let found = self.functions.contains(name)
            || self.literals.contains(&quoted(name))
            || name
                .strip_suffix(NOTICED)
                .is_some_and(|variant| has_patch("tests/variants", variant))
            || MADE.iter().any(|(begin, place)| {
                name.strip_prefix(begin).is_some_and(|rest| match *place {
                    "tests/mutants" => has_patch(place, rest),
                    place => sources([place]).contains(&quoted(rest)),
                })
            });
        (!found).then(|| format!("no test {name}"))
    }
}

#[test]
fn every_test_that_the_specification_names_exists() {
    let text = document("docs/reference/specification.md");
    let sources = sources(SOURCES);
    let names: Vec<_> = spans(&text)
        .filter(|name| name.contains('_') && !name.contains([' ', '-', '.', '/']))
        .collect();
    assert!(names.len() > 40, "only {} were recognised", names.len());
    for name in names {
        let is_there =
            sources.contains(&format!("fn {name}(")) || sources.contains(&format!("\"{name}\""));
        assert!(is_there, "there is no test {name}");
    }
}

/// Rows of the tables with these four columns.
fn resources(text: &str) -> Vec<[&str; 4]> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        in_table = match cells[..] {
            ["", "resource", "owner", "what keeps it so", "tests", ""] => true,
            _ => in_table && line.starts_with('|'),
        };
        if in_table && !line.starts_with("|---") && !line.starts_with("| resource |") {
            let ["", resource, owner, how, tests, ""] = cells[..] else {
                panic!("not four columns: {line}");
            };
            rows.push([resource, owner, how, tests]);
        }
    }
    rows
}

/// What is wrong with a name `file:function`.
fn lack_of_function(name: &str) -> Option<String> {
    let (file, function) = name.rsplit_once(':')?;
    let Ok(source) = fs::read_to_string(root().join(file)) else {
        return Some(format!("no file {file}"));
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Where it is defined: C, Rust, and labels of the assembler's.
    let defined = source.lines().any(|line| {
        let mut words = line.split(|c| !is_name(c));
        let label = line == format!("{function}:") || line == format!("SYM_FUNC_START({function})");
        let opens = line.contains(&format!("{function}(")) && !line.trim_end().ends_with(';');
        let rust =
            line.contains(&format!("fn {function}(")) || line.contains(&format!("fn {function}<"));
        let c = opens && !line.starts_with([' ', '\t', '*', '/']);
        words.any(|word| word == function) && (label || rust || c)
    });
    (!defined).then(|| format!("{file} defines no {function}"))
}

#[test]
fn every_resource_has_an_owner_and_a_test_that_exists_or_none() {
    let text = document("docs/understand/resources.md");
    let tests = Tests::read();
    let rows = resources(&text);
    assert!(rows.len() > 50, "only {} rows were recognised", rows.len());
    let mut faults = Vec::new();
    for [resource, owner, how, held_by] in rows {
        let mut fault = |what: String| faults.push(format!("{resource}: {what}"));
        if !["host", "monitor", "container"].contains(&owner) {
            fault(format!("nobody is called {owner}"));
        }
        let named: Vec<_> = spans(held_by).collect();
        let none = held_by.to_lowercase().contains(NONE);
        if named.is_empty() && !none {
            fault(format!("neither a test nor {NONE}"));
        }
        named
            .into_iter()
            .filter_map(|name| tests.lack(name))
            .for_each(&mut fault);
        spans(how).filter_map(lack_of_function).for_each(&mut fault);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_test_or_function_that_is_not_there_is_found_missing() {
    let tests = Tests::read();
    for name in [
        "no_such_test",
        "no-such-program",
        "attack_refused_nothing",
        "instruction_refused_nop",
        "nothing_is_noticed",
        // A function, and no test.
        "lack_of_function",
    ] {
        assert!(tests.lack(name).is_some(), "{name} was found");
    }
    for name in [
        "kmod/world.c:entered",
        "kmod/no.c:enter",
        "kmod/world.c:cki_host_event",
    ] {
        assert!(lack_of_function(name).is_some(), "{name} was found");
    }
    assert_eq!(lack_of_function("kmod/world.c:enter"), None);
}

#[test]
fn a_table_without_its_columns_is_no_list_of_resources() {
    let table =
        "| resource | owner | what keeps it so | tests |\n|---|---|---|---|\n| a | b | c | d |";
    assert_eq!(resources(table), [["a", "b", "c", "d"]]);
    assert!(resources("| channel | today |\n|---|---|\n| a | b |").is_empty());
}
