// SPDX-License-Identifier: MIT OR Apache-2.0

//! What cki-build says where it cannot write.

use std::path::Path;
use std::process::{Command, Output};

/// Has a shell do `before`, and then run cki-build with `words`, in `directory`.
fn after(before: &str, words: &[&str], directory: &Path) -> Output {
    Command::new("sh")
        .args(["-c", &format!("{before}; exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_cki-build"))
        .args(words)
        .current_dir(directory)
        .output()
        .expect("sh")
}

/// What it says, and nothing else happens.
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        output.status.code(),
        Some(125),
        "{:?} {text}",
        output.status
    );
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_the_programs_end() {
    let directory = tempfile::tempdir().expect("a directory");
    // A manual page is longer than one of a shell's blocks.
    let output = after("ulimit -f 1", &["man", "--out", "."], directory.path());
    let text = refusal(&output);
    assert!(text.contains("File too large"), "{text}");
}
