// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--session-fd`, as far as it goes on a machine without `/dev/cki`: every failure is one message.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use cki_abi::version::ABI_VERSION;
use cki_session::{Event, Failure, FailureKind, Outcome};
use common::{erofs, events, file, kernel, request, with_client};

/// Runs a program with these files; why not.
fn failure(device: &str, kernel: &str, root: &str, said: &[u8]) -> Failure {
    let (mut command, mut client) = with_client(&[
        "--device",
        device,
        "run",
        "--kernel",
        kernel,
        "--image",
        root,
        "--session-fd",
        "3",
    ]);
    client.write_all(said).expect("sent");
    let output = command.output().expect("it runs");
    drop(command);
    // Said once: not on standard error too.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(125));
    let events = events(client);
    match &events[..] {
        [
            Event::Ended {
                outcome: Outcome::Failed(failure),
                ..
            },
        ] => failure.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_failure_before_the_start_is_one_message() {
    let directory = tempfile::tempdir().expect("a directory");
    let at: &Path = directory.path();
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
        let failure = failure(device, kernel, root, &request());
        assert!(failure.message.contains(part), "{part:?} in {failure:?}");
        assert_eq!(failure.kind, kind, "{failure:?}");
    }
}

#[test]
fn a_request_that_is_not_understood_is_refused_before_the_files_are_looked_at() {
    let later = String::from_utf8(request()).expect("text");
    let later = later.replace("\"container\"", "\"restart\":true,\"container\"");
    let failure = failure("/dev/null", "/no/such", "/no/such", later.as_bytes());
    assert_eq!(failure.kind, FailureKind::Request);
    assert!(failure.message.contains("`restart`"), "{failure:?}");
}

#[test]
fn a_disk_of_the_request_that_nobody_has_opened_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = file(directory.path(), "image", &erofs());
    let disk = r#""container":{"disks":[{"serial":"data"}],"#;
    let request = String::from_utf8(request()).expect("text");
    let with_disk = request.replace(r#""container":{"#, disk);
    assert_ne!(with_disk, request);
    let failure = failure("/dev/null", "/no/such", &image, with_disk.as_bytes());
    assert!(
        failure.message.contains("nobody has opened the disk data"),
        "{failure:?}"
    );
}

/// Runs the binary with `redirection`, as a shell has it, for descriptor 3.
fn redirected(redirection: &str) -> Output {
    let script = format!("exec \"$@\" {redirection}");
    Command::new("sh")
        .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_cki"), "run"])
        .args(["--kernel", "/no/such", "--image", "/no/such"])
        .args(["--session-fd", "3"])
        .output()
        .expect("it runs")
}

#[test]
fn a_descriptor_that_is_not_open_both_ways_is_refused_at_once() {
    for (redirection, part) in [
        ("3>&-", "descriptor 3 is not open"),
        ("3</dev/null", "both reading and writing"),
        ("3>/dev/null", "both reading and writing"),
    ] {
        let output = redirected(redirection);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{text}");
        assert!(
            text.contains("--session-fd") && text.contains(part),
            "{text}"
        );
    }
}

#[test]
fn a_failure_that_nobody_hears_is_said_on_standard_error() {
    // Nothing to read, and what is written goes nowhere: a client that has gone.
    let output = redirected("3<>/dev/full");
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8_lossy(&output.stderr);
    // The zeros that it reads are no message, and nobody takes the answer.
    assert!(text.starts_with("cki: "), "{text}");
}
