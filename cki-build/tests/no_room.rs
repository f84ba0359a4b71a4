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
    // A page is there as a whole or not at all.
    let left = std::fs::read_dir(directory.path()).expect("read").count();
    assert_eq!(left, 0);
}

/// A shell that has mounts of its own, where `file` is a file system that is mounted with `options`.
fn with_mount(options: &str, words: &[&str], directory: &Path) -> Output {
    let mount = format!("mount -t tmpfs -o {options} none {}", directory.display());
    let here = env!("CARGO_MANIFEST_DIR");
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .args([&format!("{mount} || exit 99; cd {here}; exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_cki-build"))
        .args(words)
        .env_remove("CKI_CACHE")
        .env_remove("XDG_CACHE_HOME")
        .env("HOME", directory)
        .output()
        .expect("unshare")
}

#[test]
fn a_home_that_cannot_be_written_is_said_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = refusal(&with_mount("ro", &["prune"], directory.path()));
    let cache = directory.path().join(".cache");
    for part in [
        cache.to_str().expect("UTF-8"),
        "Read-only file system",
        "--cache DIR",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // There is room for not even a directory.
    let text = refusal(&with_mount("nr_inodes=1", &["prune"], directory.path()));
    for part in ["No space left", "CKI_CACHE"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn without_a_home_there_has_to_be_another_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let prune = |variables: &str| {
        let before = format!("unset HOME XDG_CACHE_HOME CKI_CACHE; {variables}");
        after(&before, &["prune"], Path::new(env!("CARGO_MANIFEST_DIR")))
    };
    let text = refusal(&prune("true"));
    assert!(
        text.contains("neither HOME nor XDG_CACHE_HOME is set"),
        "{text}"
    );
    let named = format!("export CKI_CACHE={}", directory.path().display());
    let output = prune(&named);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn who_only_looks_at_the_cache_needs_no_checkout() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = "unset CKI_FLAKE; export CKI_CACHE=$PWD/cache";
    for words in [&["prune"][..], &["prune", "--dry-run"]] {
        let output = after(before, words, directory.path());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn help_that_cannot_be_written_is_said_with_the_name_of_who_says_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = after("exec >/dev/full", &["--help"], directory.path());
    let text = refusal(&output);
    assert!(
        text.starts_with("cki-build: cannot write the help: "),
        "{text}"
    );
}
