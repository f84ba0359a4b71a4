// SPDX-License-Identifier: MIT OR Apache-2.0

//! The house has walls: which crate may use which, no files or folders of a crate that use each other in a circle, and
//! no file that nobody wants to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cki_house::crates::{Metadata, Package};
use cki_house::modules::{Crate, circles};
use cki_house::{root, source, tracked};

/// Lines that a Rust file may have; CONTRIBUTING.md and docs/hack/hacking.md say the same number.
const LINES: usize = 500;

/// Folders whose crates others may use; the rest are programs and tests.
const LIBRARIES: [&str; 2] = ["crates", "abi"];

/// What measures has this of the programs that it measures with: how one says what it has measured, what another can
/// do.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("cki-measure", "cki-micro"),
    ("cki-measure", "cki-workload-names"),
];

/// Files that start programs by themselves, and why `cki_process::exec`, which has them end with us, does not do.
const STARTERS: [(&str, &str); 6] = [
    ("crates/process/src/exec.rs", "it is the one place"),
    (
        "crates/process/src/files.rs",
        "tests write programs by it, which no other thread's child may hold open",
    ),
    (
        "crates/machine/src/resident/client.rs",
        "what keeps a machine up lives on when who started it ends",
    ),
    (
        "crates/volume/src/client.rs",
        "the process of a volume has a socket as its input, which ends it",
    ),
    ("crates/house/src/lib.rs", "a watcher uses none of ours"),
    ("crates/house/src/crates.rs", "a watcher uses none of ours"),
];

/// Crates below crates/ that only hold and show the others; nothing uses them, so they may look at programs.
const WATCHERS: [&str; 2] = ["cki-book", "cki-house"];

fn metadata() -> Metadata {
    Metadata::of(&root()).expect("cargo knows the workspace")
}

/// The folder of the package, seen from the top of the checkout.
fn folder(package: &Package) -> String {
    let directory = package.manifest_path.parent().expect("a folder");
    let below = directory.strip_prefix(root()).expect("in the checkout");
    below.display().to_string()
}

fn is_library(package: &Package) -> bool {
    LIBRARIES
        .iter()
        .any(|top| Path::new(&folder(package)).starts_with(top))
}

#[test]
fn no_file_of_a_crate_uses_itself_through_others() {
    let root = root();
    let mut found = Vec::new();
    let mut read = 0;
    for package in metadata().ours() {
        for file in package.roots() {
            let modules = Crate::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let uses = modules.uses();
            read += uses.len();
            for circle in circles(&uses) {
                let names: Vec<_> = circle.iter().map(|f| name(&root, f)).collect();
                let arrows: Vec<_> = circle
                    .iter()
                    .flat_map(|from| uses[from].intersection(&circle).map(move |to| (*from, *to)))
                    .map(|(from, to)| format!("{} -> {}", name(&root, from), name(&root, to)))
                    .collect();
                found.push((names, arrows));
            }
        }
    }
    assert!(read > 250, "only {read} files were read");
    assert!(found.is_empty(), "files in a circle: {found:#?}");
}

#[test]
fn no_folder_of_a_crate_uses_itself_through_others() {
    let root = root();
    let mut found = Vec::new();
    for package in metadata().ours() {
        for file in package.roots() {
            let modules = Crate::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let uses = modules.uses_of_folders();
            for circle in circles(&uses) {
                let arrows: Vec<_> = circle
                    .iter()
                    .flat_map(|from| uses[from].intersection(&circle).map(move |to| (*from, *to)))
                    .map(|(from, to)| format!("{from} -> {to}"))
                    .collect();
                found.push((name(&root, &file), arrows));
            }
        }
    }
    assert!(found.is_empty(), "folders in a circle: {found:#?}");
}

fn name(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).unwrap_or(file);
    below.display().to_string()
}

#[test]
fn programs_are_started_in_one_place() {
    let root = root();
    let mut starters = BTreeSet::new();
    for package in metadata().ours() {
        // The launcher and init start programs of their own for each container.
        if !folder(package).starts_with("crates/") && package.name != "cki-build" {
            continue;
        }
        for file in package.roots() {
            let modules = Crate::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for file in modules.uses().keys() {
                let text = fs::read_to_string(file).expect("a file");
                let source = source::read(&text).expect("Rust");
                if source.starts_programs() {
                    starters.insert(name(&root, file));
                }
            }
        }
    }
    let known: BTreeSet<_> = STARTERS.map(|(file, _)| file.to_owned()).into();
    assert_eq!(starters, known);
}

#[test]
fn no_crate_uses_a_program() {
    let metadata = metadata();
    let ours: BTreeMap<&str, &Package> = metadata.ours().map(|p| (&*p.name, p)).collect();
    let mut wrong = Vec::new();
    for package in ours.values().filter(|p| is_library(p) || p.is_program()) {
        for used in metadata.uses(package) {
            let allowed = ours.get(used).is_none_or(|used| {
                // The programs' own parts: a core that is tested apart.
                is_library(used)
                    || folder(used).split('/').next() == folder(package).split('/').next()
            });
            let exception = EXCEPTIONS.contains(&(&package.name, used));
            if !allowed && !exception && !WATCHERS.contains(&&*package.name) {
                wrong.push(format!("{} uses {used}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_use_what_their_first_lines_say_and_say_who_uses_them() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.ours().map(|p| &*p.name).collect();
    let mut wrong = Vec::new();
    for package in metadata.ours() {
        // A program without a library is used by nobody.
        let Ok(text) = fs::read_to_string(root().join(folder(package)).join("src/lib.rs")) else {
            continue;
        };
        let docs: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .collect::<Vec<_>>()
            .join("\n");
        let said = docs
            .split_once("Used by:")
            .and_then(|(_, rest)| rest.split_once("May use:"))
            .map(|(used_by, rest)| {
                // As far as the sentence goes.
                let may_use = rest.split_once(['.', ';']).map_or(rest, |(list, _)| list);
                (crates_in(used_by, &ours), crates_in(may_use, &ours))
            });
        let Some((used_by, said)) = said else {
            wrong.push(format!(
                "{} does not say who uses it, and behind that what it may use",
                package.name
            ));
            continue;
        };
        let users = |uses: &dyn Fn(&Package) -> bool| -> BTreeSet<&str> {
            let users = metadata.ours().filter(|other| uses(other));
            users.map(|other| &*other.name).collect()
        };
        let name = &*package.name;
        let must = users(&|other| metadata.uses(other).contains(name));
        // Those whose tests alone use it may be left out.
        let may = users(&|other| metadata.uses_anywhere(other).contains(name));
        if !must.is_subset(&used_by) || !used_by.is_subset(&may) {
            wrong.push(format!(
                "{name} says that {used_by:?} use it, and {must:?} do"
            ));
        }
        let used: BTreeSet<&str> = metadata
            .uses(package)
            .into_iter()
            .filter(|name| ours.contains(name))
            .collect();
        if said != used {
            wrong.push(format!("{} says {said:?} and uses {used:?}", package.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Those of our crates that a text names as code.
fn crates_in<'a>(text: &'a str, ours: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    text.split('`').filter(|word| ours.contains(word)).collect()
}

#[test]
fn rust_files_can_be_read_at_a_sitting() {
    let too_long: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = fs::read_to_string(root().join(PathBuf::from(&path))).expect("a file");
            (path, text.lines().count())
        })
        .filter(|(_, lines)| *lines > LINES)
        .collect();
    assert!(too_long.is_empty(), "more than {LINES} lines: {too_long:?}");
}
