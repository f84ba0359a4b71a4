// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is said of programs that cannot be run as they are asked for, before anything is built.

use std::path::Path;
use std::process::Command;

/// What `run` says, which refuses these options.
fn refused(options: &[&str]) -> String {
    let cache = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_cki-build"))
        .arg("--flake")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .arg("--cache")
        .arg(cache.path())
        .arg("run")
        .args(options)
        .args(["--", "true"])
        .env_remove("CKI_MACHINE")
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn what_needs_a_container_is_refused_without_one_and_nothing_else_is_said() {
    for runtime in ["native", "host"] {
        assert_eq!(
            refused(&["--runtime", runtime, "-v", ".:/here"]),
            "cki-build: volumes need a container: leave --runtime out\n"
        );
        let text = refused(&["--runtime", runtime, "--memory", "1M"]);
        assert!(!text.contains("isolation"), "{text}");
    }
}
