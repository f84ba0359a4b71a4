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

#[test]
fn what_is_not_there_is_refused_before_anything_is_built() {
    let here = env!("CARGO_MANIFEST_DIR");
    let foreign = format!("{here}/Cargo.toml");
    for (options, told) in [
        (["--env-file", "/nonexistent/env"], "/nonexistent/env"),
        (
            ["--image", "/nonexistent/image"],
            "cannot read the image /nonexistent/image",
        ),
        (
            ["--image", &foreign],
            "is no image that `cki-build image app` writes",
        ),
        (["--closure", "/nonexistent/path"], "/nonexistent/path"),
        (["--closure", here], here),
        (["--network", "bridge=br0"], "--ip"),
    ] {
        let text = refused(&options);
        assert!(text.contains(told), "{options:?}: {text}");
        // One sentence, and nothing of Nix, whose outputs would be asked for next.
        assert!(text.lines().count() <= 2, "{options:?}: {text}");
    }
}

#[test]
fn a_mistake_beside_words_that_are_no_utf_8_is_told_as_any_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let odd = std::ffi::OsStr::from_bytes(b"d\xff:/x");
    for option in ["-v", "-e", "--name", "--nonsense"] {
        let output = Command::new(env!("CARGO_BIN_EXE_cki-build"))
            .args(["run", option])
            .arg(odd)
            .args(["--", "true"])
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{option}: {text}");
        assert!(text.starts_with("error: "), "{text}");
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("there");
    let status = Command::new(env!("CARGO_BIN_EXE_cki-build"))
        .args(["doctor", "--json"])
        .env("CKI_LOG", "trace")
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .expect("it starts");
    // Of doctor's own two.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
}
