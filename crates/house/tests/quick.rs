// SPDX-License-Identifier: MIT OR Apache-2.0

//! What hosted CI runs first (`.ci/quick`), as far as it is about hosted CI.

use std::process::Command;

use cki_house::root;

/// Hosted CI checks a repository out as another user than the one of its containers.
#[test]
fn quick_lists_the_files_of_a_checkout_that_is_another_users() {
    let directory = tempfile::tempdir().expect("a directory");
    let git = |command: &str| {
        Command::new("bash")
            .args(["-c", command])
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .env("XDG_CONFIG_HOME", directory.path())
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            // Of git's own tests.
            .env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
            .output()
            .expect("it starts")
    };
    assert!(git("git init --quiet").status.success());
    assert!(!git("git ls-files").status.success());
    let script = std::fs::read_to_string(root().join(".ci/quick")).expect("a script");
    let line = script.lines().find(|line| line.contains("safe.directory"));
    let trusts = git(line.expect("a line"));
    assert!(
        trusts.status.success(),
        "{}",
        String::from_utf8_lossy(&trusts.stderr)
    );
    assert!(git("git ls-files").status.success());
}
