// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process that waits until passt is needed, with scripts in passt's place.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command};
use std::time::Duration;

use cki_launcher::backend::standby;
use nix::fcntl::{FcntlArg, fcntl};

/// A shell script as a program, in a directory that must stay as long.
fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("passt");
    // Written by another process: this one may fork elsewhere while the file is open for writing.
    let status = Command::new("sh")
        .args(["-c", "printf '%s' \"$1\" > \"$2\"", "sh"])
        .arg(format!("#!/bin/sh\n{text}"))
        .arg(&program)
        .status();
    assert!(status.expect("sh is started").success());
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("allowed");
    (directory, program)
}

/// Has the launcher wait to execute a program; our end of the socket, and the program's standard error.
fn wait(program: &Path) -> (UnixStream, ChildStderr) {
    let (ours, its) = UnixStream::pair().expect("a pair");
    let ourselves = Path::new(env!("CARGO_BIN_EXE_cki"));
    let words = ["--one".to_owned(), "two words".to_owned()];
    let said = standby::start(ourselves, program, &words, OwnedFd::from(its)).expect("it starts");
    (ours, said)
}

/// All that is said until nobody has the other end any more.
fn all(mut said: ChildStderr) -> String {
    let mut text = String::new();
    said.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn the_first_byte_starts_it_and_is_its_own_to_read() {
    let null = std::fs::File::open("/dev/null").expect("there");
    // A descriptor that any child inherits.
    let open = fcntl(&null, FcntlArg::F_DUPFD(50)).expect("a duplicate");
    let (directory, program) = script(&format!(
        "touch \"${{0%/*}}/started\"; printf '%s,' \"$@\" >&3; head -c 5 <&3 >&3
        [ -e /proc/$$/fd/{open} ] || printf ' closed' >&3; [ -n \"$HOME\" ] || printf ' bare' >&3"
    ));
    let started = directory.path().join("started");
    let (mut ours, said) = wait(&program);
    // That something never happens cannot be seen; here it would within this time.
    std::thread::sleep(Duration::from_millis(100));
    assert!(!started.exists(), "it is started before it is needed");
    ours.write_all(b"hello").expect("sent");
    let mut got = String::new();
    ours.read_to_string(&mut got).expect("text");
    assert_eq!(got, "--one,two words,hello closed bare");
    assert_eq!(all(said), "");
}

#[test]
fn the_end_of_the_socket_ends_it_unused() {
    let (directory, program) = script("touch \"${0%/*}/started\"");
    let (ours, said) = wait(&program);
    drop(ours);
    assert_eq!(all(said), "");
    assert!(!directory.path().join("started").exists());
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    let (mut ours, said) = wait(Path::new("/nonexistent/passt"));
    ours.write_all(b"x").expect("sent");
    let said = all(said);
    assert!(
        said.starts_with("cannot start /nonexistent/passt: "),
        "{said}"
    );
}
