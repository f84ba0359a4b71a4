// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--json-status-fd`, as far as it goes on a machine without `/dev/cki`: every failure is one message.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use cki_abi::version::ABI_VERSION;
use cki_session::{FailureKind, GuestMessage, decode};
use common::{erofs, file, kernel};

/// Runs the binary with `redirection`, as a shell has it, for descriptor 3.
fn run(redirection: &str, arguments: &[&str]) -> Output {
    let script = format!("exec \"$@\" {redirection}");
    Command::new("sh")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_cki")])
        .args(arguments)
        .output()
        .expect("it runs")
}

/// Runs a program with these files; the only message.
fn message(directory: &Path, device: &str, kernel: &str, root: &str) -> (String, FailureKind) {
    let out = directory.join("status");
    let output = run(
        &format!("3>{}", out.display()),
        &[
            "--device",
            device,
            "run",
            "--kernel",
            kernel,
            "--root",
            root,
            "--json-status-fd",
            "3",
            "--",
            "true",
        ],
    );
    // Said once: not on standard error too.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(125));
    let text = std::fs::read_to_string(out).expect("written");
    assert_eq!(text.lines().count(), 1, "{text}");
    match decode(text.as_bytes()).expect("a message") {
        GuestMessage::Failed { message, kind } => (message, kind),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_failure_before_the_start_is_one_message() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let image = file(at, "image", &erofs());
    let half = file(at, "half", &erofs()[..4096]);
    let text = file(at, "text", b"hello\n");
    let kernel = file(at, "kernel", &kernel(ABI_VERSION));
    let newer = file(at, "newer", &common::kernel(ABI_VERSION + 1));
    let (absent, null) = ("/dev/no-such", "/dev/null");
    let (internal, of_image) = (FailureKind::Internal, FailureKind::Image);
    let cases = [
        (null, "/no/such", &image[..], "No such file", internal),
        (null, &text, &image, "no 64-bit x86 ELF", internal),
        (null, &newer, &image, "from one build", internal),
        (null, &kernel, &text, "no EROFS image", of_image),
        (null, &kernel, &half, "truncated", of_image),
        (null, &kernel, "/no/such", "No such file", of_image),
        (null, &kernel, &image, "not the device of CKI", internal),
        (absent, &kernel, &image, "load the module cki", internal),
    ];
    for (device, kernel, root, part, kind) in cases {
        let (message, told) = message(at, device, kernel, root);
        assert!(message.contains(part), "{part:?} in {message:?}");
        assert_eq!(told, kind, "{message}");
    }
}

#[test]
fn a_descriptor_that_cannot_be_written_to_is_refused_at_once() {
    for (redirection, part) in [
        ("3>&-", "descriptor 3 is not open"),
        ("3</dev/null", "reading only"),
    ] {
        let arguments = [
            "run",
            "--kernel",
            "/no/such",
            "--root",
            "/no/such",
            "--json-status-fd",
            "3",
            "true",
        ];
        let output = run(redirection, &arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{text}");
        assert!(
            text.contains("--json-status-fd") && text.contains(part),
            "{text}"
        );
    }
}

#[test]
fn a_failure_that_nobody_reads_is_said_on_standard_error() {
    let arguments = [
        "run",
        "--kernel",
        "/no/such",
        "--root",
        "/no/such",
        "--json-status-fd",
        "3",
        "true",
    ];
    // A full disk takes as little as a reader that has gone.
    let output = run("3>/dev/full", &arguments);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such"));
}
