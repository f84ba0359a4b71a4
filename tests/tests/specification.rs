// SPDX-License-Identifier: MIT OR Apache-2.0

//! The specification names tests: they exist.

use std::fs;
use std::path::Path;

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

fn read(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_test_that_the_specification_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text =
        fs::read_to_string(root.join("docs/reference/specification.md")).expect("the document");
    let mut sources = String::new();
    for directory in SOURCES {
        read(&root.join(directory), &mut sources);
    }
    let names: Vec<_> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('_') && !name.contains([' ', '-', '.', '/']))
        .collect();
    assert!(names.len() > 40, "only {} were recognised", names.len());
    for name in names {
        let is_there =
            sources.contains(&format!("fn {name}(")) || sources.contains(&format!("\"{name}\""));
        assert!(is_there, "there is no test {name}");
    }
}
