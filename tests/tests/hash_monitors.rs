// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's list of monitors: what is no hash ends its build.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn hash(monitors: &[&Path]) -> Output {
    Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../kmod/hash-monitors.sh"))
        .args(monitors)
        .output()
        .expect("a shell")
}

#[test]
fn every_monitor_is_in_the_modules_list_by_its_hash() {
    let directory = tempfile::tempdir().expect("a directory");
    let monitor = directory.path().join("ksm");
    fs::write(&monitor, "abc").expect("a file");
    let output = hash(&[&monitor, &monitor]);
    let text = String::from_utf8(output.stdout).expect("a header");
    // SHA-256 of "abc" (FIPS 180-4's example) begins with ba7816bf and ends with 15ad.
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("{ 0xba, 0x78, 0x16, 0xbf, ").count(), 2);
    assert_eq!(text.matches(", 0x15, 0xad }").count(), 2);
    assert_eq!(text.matches("0x").count(), 64, "32 bytes each");
}

#[test]
fn a_monitor_that_cannot_be_hashed_ends_the_build_of_the_module() {
    let directory = tempfile::tempdir().expect("a directory");
    let monitor = directory.path().join("ksm");
    let absent = directory.path().join("absent");
    fs::write(&monitor, "abc").expect("a file");
    assert!(!hash(&[&absent]).status.success());
    assert!(!hash(&[&monitor, &absent]).status.success());
}
