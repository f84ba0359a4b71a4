// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files of the host module have no circle: each uses only those behind it in `kmod/Kbuild`.

use std::fs;

use cki_house::{root, tracked};

/// The objects in the order of Kbuild.
fn order(kbuild: &str) -> Vec<&str> {
    let lines = kbuild.lines().filter(|line| line.starts_with("cki-y "));
    let words = lines.flat_map(str::split_whitespace);
    words.filter_map(|word| word.strip_suffix(".o")).collect()
}

/// The headers of the module's own that a file includes.
fn includes(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("#include \"")?.strip_suffix(".h\""))
}

/// Who uses what is not behind it.
fn backward(order: &[&str], name: &str, source: &str) -> Vec<String> {
    let place = |name: &str| order.iter().position(|&object| object == name);
    let own = place(name);
    includes(source)
        .filter(|&used| used != name && place(used).is_some_and(|used| Some(used) < own))
        .map(|used| format!("{name} uses {used}"))
        .collect()
}

#[test]
fn each_file_of_the_module_uses_only_those_behind_it() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a tracked file");
    let kbuild = read("kmod/Kbuild");
    let order = order(&kbuild);
    let mut found = Vec::new();
    let mut files = Vec::new();
    for path in tracked() {
        let Some((name, kind)) = path.strip_prefix("kmod/").and_then(|p| p.split_once('.')) else {
            continue;
        };
        if !["c", "h", "S"].contains(&kind) {
            continue;
        }
        files.push(name.to_owned());
        found.extend(backward(&order, name, &read(&path)));
    }
    assert!(found.is_empty(), "{found:#?}");
    for object in order {
        assert!(files.iter().any(|file| file == object), "{object}");
    }
    assert!(
        !files.iter().any(|file| file == "internal"),
        "a header of everybody's would hide who uses whom"
    );
}

#[test]
fn a_circle_would_be_found() {
    let order = order("cki-y := top.o\ncki-y += bottom.o\n");
    let source = "#include <linux/fs.h>\n#include \"top.h\"\n";
    assert_eq!(backward(&order, "bottom", source), ["bottom uses top"]);
    assert!(backward(&order, "top", "#include \"bottom.h\"\n").is_empty());
}
