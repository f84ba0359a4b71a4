// SPDX-License-Identifier: MIT OR Apache-2.0

//! What tests of several modules begin with: pipes, and a process of their own, which is the test binary again, with
//! one test to run.

use std::fs::File;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;

const ROLE: &str = "CKI_TEST_ROLE";

/// The end to read from, and the end to write to.
pub(crate) fn pipe() -> (File, File) {
    // A child of another test must not keep an end open.
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    (File::from(read), File::from(write))
}

/// The test `name` in a child that finds `role`. Its output comes through a pipe.
pub(crate) fn child(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{name}={role}"))
        // As `heap::have_one` does, which comes too late for the thread of a test.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The role, if the test `name` is run in a child.
pub(crate) fn role(name: &str) -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    Some(role.strip_prefix(name)?.strip_prefix('=')?.to_owned())
}
