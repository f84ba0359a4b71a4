// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every file has exactly one licence, and the one that its folder is under.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cki_house::licences::{Reuse, identifiers, stated};
use cki_house::{root, tracked};

/// What folders and files are under; of several that name a file the longest counts. Patches of the emulator are not
/// here: theirs is in what they change.
const RULES: [(&str, &str); 13] = [
    ("", OURS),
    ("abi/include/", "GPL-2.0-only WITH Linux-syscall-note"),
    ("emulator/devices/", "GPL-2.0-or-later"),
    ("emulator/libslirp/", "BSD-3-Clause"),
    ("emulator/libslirp/package.nix", OURS),
    ("emulator/tests/", "GPL-2.0-only"),
    ("emulator/tests/package.nix", OURS),
    ("emulator/tests/rt/allow-list.h", "LGPL-2.1-or-later"),
    ("images/passt/patches/", "AGPL-3.0-or-later"),
    ("kernel/", "GPL-2.0-only"),
    ("kmod/", "GPL-2.0-only"),
    ("tests/variants/", "GPL-2.0-only"),
    ("tests/witness/", "GPL-2.0-only"),
];

const OURS: &str = "MIT OR Apache-2.0";

/// The files of QEMU 10.0.2 that our patches change, by what they state. Before a file comes in here, read its head.
const QEMU: [(&str, &[&str]); 4] = [
    (
        "LGPL-2.1-or-later",
        &[
            "accel/tcg/cpu-exec.c",
            "accel/tcg/cputlb.c",
            "accel/tcg/tb-maint.c",
            "accel/tcg/translate-all.c",
            "target/i386/cpu.c",
            "target/i386/cpu.h",
            "target/i386/helper.c",
            "target/i386/tcg/decode-new.c.inc",
            "target/i386/tcg/decode-new.h",
            "target/i386/tcg/emit.c.inc",
            "target/i386/tcg/misc_helper.c",
            "target/i386/tcg/seg_helper.c",
            "target/i386/tcg/system/excp_helper.c",
            "target/i386/tcg/system/misc_helper.c",
            "target/i386/tcg/system/seg_helper.c",
            "target/i386/tcg/system/smm_helper.c",
            "target/i386/tcg/system/svm_helper.c",
            "target/i386/tcg/translate.c",
        ],
    ),
    ("LGPL-2.0-or-later", &["target/i386/tcg/helper-tcg.h"]),
    (
        "MIT",
        &["monitor/monitor.c", "monitor/qmp.c", "net/slirp.c"],
    ),
    // Those of microvm and tb-jmp-cache.h state it; the others state nothing, which QEMU's LICENSE takes for this.
    (
        "GPL-2.0-or-later",
        &[
            "accel/tcg/tb-jmp-cache.h",
            "hw/i386/Kconfig",
            "hw/i386/meson.build",
            "hw/i386/microvm-dt.c",
            "hw/i386/microvm.c",
            "include/hw/i386/microvm.h",
            "qapi/net.json",
            "qemu-options.hx",
            "target/i386/helper.h",
            "target/i386/machine.c",
            "target/i386/svm.h",
            "target/i386/tcg/system/meson.build",
        ],
    ),
];

/// What the house says the licence of `path` is.
fn rule(path: &str) -> &'static str {
    let (_, licence) = RULES
        .into_iter()
        .filter(|(prefix, _)| path.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .expect("the empty prefix names every file");
    licence
}

/// What CONTRIBUTING.md's table says: folders and files, with their licence.
fn told() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("the page");
    let (_, section) = text.split_once("\n## Licences\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let spans = |cell: &str| -> Vec<String> {
        let spans = cell.split('`').skip(1).step_by(2);
        spans.map(str::to_owned).collect()
    };
    let mut told = BTreeMap::new();
    for row in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [what, licence] = cells[..] else {
            panic!("{row}")
        };
        let licences = spans(licence);
        let [licence] = &licences[..] else {
            panic!("one licence a row: {row}")
        };
        let mut folders = spans(what);
        // The row of all that no other one names.
        if folders.is_empty() {
            folders.push(String::new());
        }
        for folder in folders {
            let before = told.insert(folder, licence.clone());
            assert_eq!(before, None, "named twice: {row}");
        }
    }
    told
}

#[test]
fn contributors_are_told_what_the_rules_are() {
    let rules = RULES.map(|(prefix, licence)| (prefix.to_owned(), licence.to_owned()));
    assert_eq!(told(), rules.into());
}

fn reuse() -> Reuse {
    let text = fs::read_to_string(root().join("REUSE.toml")).expect("REUSE.toml");
    Reuse::parse(&text).expect("REUSE.toml is one")
}

/// Every file but the texts of licences, with what it states or REUSE.toml states for it.
fn statements() -> BTreeMap<String, Vec<String>> {
    let (root, reuse) = (root(), reuse());
    let own = |path: &str| {
        let contents = fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        stated(&contents)
    };
    tracked()
        .into_iter()
        .filter(|path| !path.starts_with("LICENSES/"))
        .map(|path| {
            let mut all = own(&path);
            all.extend(reuse.licence(&path).map(str::to_owned));
            (path, all)
        })
        .collect()
}

#[test]
fn every_rule_names_a_file() {
    let tracked = tracked();
    for (prefix, licence) in RULES {
        let names = tracked.iter().any(|path| path.starts_with(prefix));
        assert!(names, "nothing is below {prefix} ({licence})");
    }
}

#[test]
fn every_file_has_exactly_one_licence() {
    let statements = statements();
    assert!(
        statements.len() > 600,
        "git tracks {} files",
        statements.len()
    );
    let none: Vec<_> = statements
        .iter()
        .filter(|(_, all)| all.is_empty())
        .map(|(path, _)| path)
        .collect();
    assert!(
        none.is_empty(),
        "no SPDX line in the first lines, nor in REUSE.toml: {none:#?}"
    );
    let several: Vec<_> = statements.iter().filter(|(_, all)| all.len() > 1).collect();
    assert!(several.is_empty(), "more than one licence: {several:#?}");
}

#[test]
fn every_file_has_the_licence_of_its_folder() {
    let wrong: Vec<_> = statements()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("emulator/patches/") || path.ends_with(".md"))
        .filter(|(path, all)| {
            // Linux names this licence by its older name, too, in files that come from there.
            let alias = path.starts_with("kernel/src/") && all[..] == ["GPL-2.0"];
            !alias && all[..] != [rule(path)]
        })
        .map(|(path, all)| format!("{path}: {all:?}, but its folder is {}", rule(&path)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A patch is under what the files are under that it changes, and says itself what new ones are under.
#[test]
fn patches_of_the_emulator_have_the_licences_of_what_they_change() {
    let known: BTreeMap<_, _> = QEMU
        .into_iter()
        .flat_map(|(licence, files)| files.iter().map(move |file| (*file, licence)))
        .collect();
    let statements = statements();
    let patches: Vec<_> = statements
        .iter()
        .filter(|(path, _)| path.starts_with("emulator/patches/") && path.ends_with(".patch"))
        .collect();
    assert!(patches.len() >= 14, "{patches:?}");
    let mut touched = BTreeSet::new();
    for (path, all) in patches {
        let text = fs::read_to_string(root().join(path)).expect("a patch");
        let mut expected = BTreeSet::new();
        for (file, new) in changed(&text) {
            match new {
                Some(licence) => {
                    expected.insert(licence);
                }
                None if created_before(&file) => {}
                None => {
                    let licence = known.get(&*file);
                    let licence = licence.unwrap_or_else(|| {
                        panic!("{path}: read the head of {file} and add it to QEMU")
                    });
                    expected.insert((*licence).to_owned());
                    touched.insert(file);
                }
            }
        }
        let stated: BTreeSet<_> = all[0].split(" AND ").map(str::to_owned).collect();
        assert_eq!(stated, expected, "{path}");
    }
    let stale: Vec<_> = known
        .keys()
        .filter(|file| !touched.contains(**file))
        .collect();
    assert!(stale.is_empty(), "no patch changes {stale:?}");
}

/// The files that a patch changes; with the licence that a new one states.
fn changed(patch: &str) -> Vec<(String, Option<String>)> {
    let mut files = Vec::new();
    let mut from = "";
    let lines: Vec<_> = patch.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if let Some(old) = line.strip_prefix("--- ") {
            from = old;
        } else if let Some(file) = line.strip_prefix("+++ b/") {
            let licence = (from == "/dev/null").then(|| {
                let tag = concat!("SPDX-License", "-Identifier:");
                let text = lines[at + 1..]
                    .iter()
                    .take_while(|line| !line.starts_with("--- "))
                    .find_map(|line| line.split_once(tag))
                    .unwrap_or_else(|| panic!("{file} is new and states no licence"));
                text.1.trim().trim_end_matches("*/").trim().to_owned()
            });
            files.push((file.to_owned(), licence));
        }
    }
    files
}

/// Whether one of our own patches made the file.
fn created_before(file: &str) -> bool {
    tracked()
        .into_iter()
        .filter(|path| path.starts_with("emulator/patches/") && path.ends_with(".patch"))
        .any(|path| {
            let text = fs::read_to_string(root().join(path)).expect("a patch");
            changed(&text)
                .iter()
                .any(|(name, licence)| name == file && licence.is_some())
        })
}

#[test]
fn the_text_of_every_licence_is_there_and_no_other() {
    let mut wanted = BTreeSet::new();
    for (path, all) in statements() {
        for expression in all.iter().filter(|expression| *expression != "GPL-2.0") {
            let names = identifiers(expression).unwrap_or_else(|error| panic!("{path}: {error}"));
            wanted.extend(names.into_iter().map(|name| format!("LICENSES/{name}.txt")));
        }
    }
    let there: BTreeSet<_> = tracked()
        .into_iter()
        .filter(|path| path.starts_with("LICENSES/"))
        .collect();
    assert_eq!(there, wanted);
}

#[test]
fn reuse_names_no_file_that_is_gone() {
    let reuse = reuse();
    let idle = reuse.idle(&tracked());
    assert!(idle.is_empty(), "{idle:?}");
}
