// SPDX-License-Identifier: MIT OR Apache-2.0

//! A crate of many files says in the first lines of its first file what each of them is for: nobody reads thirty files
//! to find the one to change.

use std::collections::BTreeSet;
use std::fs;

use cki_house::source;
use cki_house::{root, tracked};

/// How many files a crate may have, beside its first one, without a map. Folders count as one.
const WITHOUT_MAP: usize = 12;

/// Where crates are that people come to with a change of the tool, the launcher or a session. In `ksm/` and `abi/`,
/// maps go by invariants and by headers, and `bench/` and `tests/` have programs whose files are their cases.
const FOLDERS: [&str; 4] = ["abi/session/", "cki-build/", "crates/", "launcher/"];

/// The modules of a crate's first file that its first lines do not name in backquotes, and those that a row of their
/// table names and that are not there. Nothing for a crate of few files.
fn faults(text: &str) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let modules: BTreeSet<_> = source::read(text)
        .expect("Rust")
        .modules
        .into_iter()
        .collect();
    let head: Vec<_> = text
        .lines()
        .skip(1)
        .skip_while(|line| line.is_empty())
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    let head = head.join("\n");
    let spans: BTreeSet<_> = head.split('`').skip(1).step_by(2).collect();
    let missing = modules.iter().filter(|name| !spans.contains(name.as_str()));
    let missing: BTreeSet<_> = missing.cloned().collect();
    // The rows of a map name modules only; prose names functions, too, and rustdoc follows its links.
    let rows = head
        .lines()
        .filter_map(|line| line.strip_prefix(" | ")?.split(" | ").next());
    let stale = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let stale: BTreeSet<_> = stale
        .filter(|name| !modules.contains(*name))
        .map(str::to_owned)
        .collect();
    (modules.len() > WITHOUT_MAP).then_some((missing, stale))
}

#[test]
fn a_crate_of_many_files_names_each_of_them() {
    let mut looked = 0;
    let mut wrong = Vec::new();
    for path in tracked() {
        if !path.ends_with("/src/lib.rs") || !FOLDERS.iter().any(|folder| path.starts_with(folder))
        {
            continue;
        }
        let text = fs::read_to_string(root().join(&path)).expect("a source");
        let Some((missing, stale)) = faults(&text) else {
            continue;
        };
        looked += 1;
        if !missing.is_empty() {
            wrong.push(format!(
                "{path} does not say what these are for: {missing:?}"
            ));
        }
        if !stale.is_empty() {
            wrong.push(format!("{path} names what is no module of it: {stale:?}"));
        }
    }
    assert!(looked > 5, "only {looked} crates are so large");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_file_that_a_map_leaves_out_or_makes_up_is_found() {
    let modules: String = ('a'..='m').map(|name| format!("mod {name};\n")).collect();
    let named: String = ('a'..='l').map(|name| format!("//! `{name}`\n")).collect();
    let text = format!("// licence\n\n{named}//! | [`z`] | gone |\n\n{modules}");
    let of = |names: [&str; 1]| names.map(str::to_owned).into();
    assert_eq!(faults(&text), Some((of(["m"]), of(["z"]))));
    let few = text.replace("mod m;\n", "");
    assert_eq!(faults(&few), None);
}
