// SPDX-License-Identifier: MIT OR Apache-2.0

//! The launcher's page says where the launcher has unsafe code.

use std::collections::BTreeSet;
use std::fs;

use cki_house::{root, source, tracked};

/// Files of the launcher with unsafe code that is not for tests.
fn files() -> BTreeSet<String> {
    let is_source = |path: &String| {
        path.starts_with("launcher/src/") && path.ends_with(".rs") && !path.contains("/tests/")
    };
    let has = |path: &String| {
        let text = fs::read_to_string(root().join(path)).expect("a source");
        let source = source::read(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        source.words.contains("unsafe")
    };
    let files = tracked().into_iter().filter(is_source).filter(has);
    files
        .map(|path| path["launcher/src/".len()..].to_owned())
        .collect()
}

/// A row stands for a file if it names it, or the file alone in its last column.
#[test]
fn the_launchers_page_says_where_it_has_unsafe_code() {
    let page = fs::read_to_string(root().join("docs/understand/launcher.md")).expect("the page");
    let (_, table) = page
        .split_once("| module | what | unsafe |")
        .expect("the table");
    let table = table.split("\n\n").next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let files = files();
    assert!(files.len() >= 7, "{files:?}");
    for file in &files {
        let folder = file
            .split_once('/')
            .map_or(file.as_str(), |(folder, _)| folder);
        let names = [format!("`{file}`"), format!("`{folder}/`")];
        let row = rows
            .iter()
            .find(|row| names.iter().any(|name| row[0].contains(name)));
        let row = row.unwrap_or_else(|| panic!("no row for {file}"));
        assert!(
            row[2] != "no",
            "{file} has unsafe code, and the table says it has not"
        );
    }
    for row in rows.iter().filter(|row| row[2] == "no") {
        let named: Vec<_> = row[0].split('`').skip(1).step_by(2).collect();
        let odd = files
            .iter()
            .find(|file| named.iter().any(|name| file.starts_with(name)));
        assert_eq!(odd, None, "{row:?}");
    }
}
