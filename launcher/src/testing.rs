// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests that need a process of their own: it is the test binary again, with one test to run.

use std::process::{Command, Stdio};

const ROLE: &str = "CKI_TEST_ROLE";

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
