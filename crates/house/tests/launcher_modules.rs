// SPDX-License-Identifier: MIT OR Apache-2.0

//! The launcher's modules use each other as the table in its first file says, and in no circle: no other crate has as
//! many.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cki_house::modules::{Crate, circles};
use cki_house::{root, tracked};

/// The name of the module at the top that a file is of.
fn top(file: &Path) -> String {
    let below = file.strip_prefix(root().join("launcher/src"));
    let first = below.expect("a file of the launcher").iter().next();
    let name = first.expect("a name").to_string_lossy();
    name.trim_end_matches(".rs").to_owned()
}

/// The names in backquotes.
fn names(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// What the first file says: the modules of its table, and what the list behind it says that each uses.
fn told() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("launcher/src/lib.rs")).expect("a file");
    let head: Vec<_> = text
        .lines()
        .map_while(|line| {
            (line.is_empty() || line.starts_with("//")).then(|| line.trim_start_matches("//!"))
        })
        .collect();
    let module = |line: &&str| names(line.strip_prefix(" | ")?.split(" | ").next()?).pop();
    let mut told: BTreeMap<_, _> = head
        .iter()
        .filter_map(|line| Some((module(line)?, BTreeSet::new())))
        .collect();
    for item in head.join("\n").split("\n - ").skip(1) {
        let item = item.split("\n\n").next().unwrap_or(item);
        let mut names = names(item).into_iter();
        let module = names.next().expect("the module first");
        let uses = told
            .get_mut(&module)
            .unwrap_or_else(|| panic!("{module} is in no row"));
        uses.extend(names);
    }
    told
}

#[test]
fn the_launchers_modules_use_what_its_table_says() {
    let launcher = Crate::read(&root().join("launcher/src/lib.rs")).expect("the launcher");
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, used) in launcher.uses() {
        let from = top(file);
        let of = uses.entry(from.clone()).or_default();
        of.extend(used.into_iter().map(top).filter(|to| *to != from));
    }
    uses.remove("lib");
    let told = told();
    assert!(told.len() > 15, "{told:?}");
    let wrong: Vec<_> = uses
        .iter()
        .filter(|(module, used)| told.get(*module) != Some(*used))
        .collect();
    assert!(wrong.is_empty(), "what these modules use: {wrong:#?}");
    assert_eq!(told.len(), uses.len(), "rows of modules that there are not");
    let paths: BTreeMap<&Path, BTreeSet<&Path>> = uses
        .iter()
        .map(|(module, used)| (Path::new(module), used.iter().map(Path::new).collect()))
        .collect();
    assert_eq!(circles(&paths), Vec::<BTreeSet<&Path>>::new());
}

/// The page has the program's own files, too, which no other file uses.
#[test]
fn the_page_about_the_launcher_has_each_of_its_modules() {
    let text = fs::read_to_string(root().join("docs/understand/launcher.md")).expect("the page");
    let (_, parts) = text.split_once("\n## Parts\n").expect("the section");
    let parts = parts.split("\n## ").next().unwrap_or(parts);
    let cells = parts
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let listed: BTreeSet<String> = cells
        .flat_map(names)
        .map(|name| {
            let first = name.split('/').next().unwrap_or(&name);
            first.trim_end_matches(".rs").to_owned()
        })
        .collect();
    let there: BTreeSet<String> = tracked()
        .iter()
        .filter_map(|path| path.strip_prefix("launcher/src/"))
        .map(|path| top(&root().join("launcher/src").join(path)))
        // The first files of program and library, and what only tests have.
        .filter(|name| !["main", "lib", "testing"].contains(&name.as_str()))
        .filter(|name| !name.ends_with("_tests"))
        .collect();
    assert_eq!(listed, there);
}
