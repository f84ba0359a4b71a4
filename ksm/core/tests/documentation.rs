// SPDX-License-Identifier: MIT OR Apache-2.0

//! The threat model names tests: they exist. And it names every mutant of the monitor.

use std::fs;
use std::path::Path;

fn model() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join("../../docs/understand/threat-model.md")).expect("the document")
}

/// All Rust sources of a directory.
fn sources(directory: &str) -> String {
    fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
        .expect("the directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| fs::read_to_string(path).expect("a source"))
        .collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let model = model();
    let sources: String = [
        "tests",
        "../shell/src",
        "../shell/src/tests",
        "../../tests/driver/src",
    ]
    .map(sources)
    .concat();
    let named: Vec<_> = model
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() > 2
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect();
    assert!(
        named.len() > 30,
        "only {} names were recognised",
        named.len()
    );
    for name in named {
        assert!(
            sources.contains(&format!("fn {name}(")) || sources.contains(&format!("\"{name}\"")),
            "{name} is neither a test of ksm nor a case of tests/driver"
        );
    }
}

#[test]
fn the_threat_model_names_every_mutant_with_its_invariant() {
    let model = model();
    let attacks = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/driver/src/attacks.rs"),
    )
    .expect("the attacks");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("../../tests/mutants")).expect("the mutants") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "patch") {
            continue;
        }
        let stem = path.file_stem().expect("a name").to_string_lossy();
        let (_, name) = stem.split_once('-').expect("NN-name.patch");
        let patch = fs::read_to_string(&path).expect("a patch");
        let invariant: String = patch
            .strip_prefix("Takes out ")
            .expect("what it takes out comes first")
            .chars()
            .take_while(|&c| c != '.')
            .collect();
        let paragraph = model
            .split("\n\n")
            .find(|paragraph| {
                paragraph.contains("ttacked by") && paragraph.contains(&format!("`{name}`"))
            })
            .unwrap_or_else(|| panic!("the threat model does not name {name}"));
        assert!(
            paragraph.starts_with(&format!("**{invariant}.**")) || !invariant.starts_with('I'),
            "{name} is not listed under {invariant}"
        );
        assert!(
            attacks.contains(&format!("fn {name}(")),
            "{name} is no attack of tests/driver"
        );
    }
}

#[test]
fn every_file_with_unsafe_code_is_in_the_soundness_chapter() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapter =
        fs::read_to_string(root.join("../../docs/understand/soundness.md")).expect("the document");
    let mut found = 0;
    for entry in fs::read_dir(root.join("../shell/src")).expect("the shell") {
        let path = entry.expect("an entry").path();
        // What is in directories is for tests.
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        let name = path.file_name().expect("a name").to_string_lossy();
        if source.contains("unsafe {") || source.contains("unsafe impl") {
            found += 1;
            assert!(
                chapter.contains(&format!("`{name}`")),
                "{name} has unsafe code that docs/understand/soundness.md does not name"
            );
        }
    }
    assert!(found > 5, "only {found} files with unsafe code");
    let core = fs::read_to_string(root.join("src/lib.rs")).expect("the crate");
    assert!(core.contains("#![forbid(unsafe_code)]"));
}
