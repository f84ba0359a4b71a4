// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is said of machines that stay up where none is up, and before anything is built.

use std::path::Path;
use std::process::Command;

/// The sentence with which it ends.
fn refused(words: &[&str]) -> String {
    let cache = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_cki-build"))
        .arg("--quiet")
        .arg("--flake")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .arg("--cache")
        .arg(cache.path())
        .arg("machine")
        .args(words)
        .env_remove("CKI_MACHINE")
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn who_stops_what_is_not_up_is_not_told_to_start_it() {
    let text = refused(&["stop", "web"]);
    assert_eq!(
        text,
        "cki-build: the machine web is not up, so there is nothing to stop\n"
    );
}

#[test]
fn a_machine_with_less_memory_than_one_container_is_refused_as_a_machine() {
    let text = refused(&["start", "web", "--memory", "1M"]);
    assert!(
        text.contains("the memory of a machine is that of all its containers"),
        "{text}"
    );
    assert!(text.contains("at least 64M: not 1M"), "{text}");
}
