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

/// What is said by a command in a directory that is no checkout, with a cache of its own.
fn said_elsewhere(words: &[&str], flake: Option<&Path>) -> String {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cki-build"));
    command
        .args(words)
        .current_dir(elsewhere.path())
        .env("CKI_CACHE", elsewhere.path())
        .env_remove("CKI_MACHINE")
        .env_remove("CKI_FLAKE");
    if let Some(flake) = flake {
        command.env("CKI_FLAKE", flake);
    }
    let output = command.output().expect("it starts");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_asks_a_machine_needs_no_checkout() {
    for words in [
        &["machine", "stop"][..],
        &["machine", "ssh"],
        &["list"],
        &["stats", "web"],
        &["kill", "web"],
        &["exec", "web", "--", "true"],
    ] {
        let said = said_elsewhere(words, None);
        assert!(said.contains("is not up"), "{words:?}: {said}");
    }
    let said = said_elsewhere(&["machine", "start"], None);
    assert!(said.contains("is not in a CKI checkout"), "{said}");
}

#[test]
fn a_variable_that_leads_nowhere_is_named() {
    let said = said_elsewhere(&["fetch"], Some(Path::new("/nonexistent")));
    assert!(said.contains("variable CKI_FLAKE"), "{said}");
}

#[test]
fn the_usage_has_no_option_that_nobody_typed() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = said_elsewhere(&["run", "-it"], Some(&checkout));
    assert!(said.contains("Usage: cki-build run"), "{said}");
    assert!(
        !said.contains("--flake") && !said.contains("--cache"),
        "{said}"
    );
}

#[test]
fn no_machine_is_up_where_only_logs_and_strangers_are() {
    let cache = tempfile::tempdir().expect("a directory");
    let said = |json: bool| {
        let output = Command::new(env!("CARGO_BIN_EXE_cki-build"))
            .args(json.then_some("--json"))
            .arg("--cache")
            .arg(cache.path())
            .args(["machine", "list"])
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text.as_str()), (Some(0), ""));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(said(false), "no machine is up\n");
    for name in ["web", "-no-name", "two words"] {
        let directory = cache.path().join("machines").join(name);
        std::fs::create_dir_all(&directory).expect("made");
        std::fs::write(directory.join("log"), "it is over\n").expect("written");
    }
    assert_eq!(said(false), "no machine is up\n");
    assert_eq!(said(true), "[]\n");
}
