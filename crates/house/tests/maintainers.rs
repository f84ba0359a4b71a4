// SPDX-License-Identifier: MIT OR Apache-2.0

//! `MAINTAINERS.md` has one area for each folder, and `.github/CODEOWNERS` is what it gives.

use std::collections::BTreeSet;
use std::fs;

use cki_house::{root, tracked};

/// What the table says where nobody has the role.
const NOBODY: &str = "not filled in";

/// The rows of the table: folders, and who looks after them.
fn areas() -> Vec<(Vec<String>, String)> {
    let text = fs::read_to_string(root().join("MAINTAINERS.md")).expect("the table");
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, folders, role] = cells[..] else {
            panic!("{row}")
        };
        let folders = folders.split('`').skip(1).step_by(2);
        (folders.map(str::to_owned).collect(), role.to_owned())
    })
    .collect()
}

#[test]
fn each_folder_has_one_area() {
    let listed: Vec<_> = areas()
        .into_iter()
        .flat_map(|(folders, _)| folders)
        .collect();
    let names: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), names.len(), "one is listed twice: {listed:?}");
    let folders: BTreeSet<_> = tracked()
        .iter()
        .filter_map(|path| Some(format!("{}/", path.split_once('/')?.0)))
        .collect();
    assert_eq!(names, folders);
}

#[test]
fn the_owners_of_code_are_those_of_the_table() {
    let text = fs::read_to_string(root().join(".github/CODEOWNERS")).expect("the owners");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let expected: Vec<_> = areas()
        .into_iter()
        .flat_map(|(folders, role)| {
            let owner = match role.as_str() {
                NOBODY => String::new(),
                role => format!(" {role}"),
            };
            folders
                .into_iter()
                .map(move |folder| format!("/{folder}{owner}"))
        })
        .collect();
    assert_eq!(lines, expected);
}
