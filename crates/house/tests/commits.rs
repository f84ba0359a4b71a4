// SPDX-License-Identifier: MIT OR Apache-2.0

//! What hosted CI has to say of the commits of a change (`.ci/commits`).

use std::path::Path;
use std::process::{Command, Output};

use cki_house::root;

fn git(directory: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(directory)
        .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
        .args(["-c", "commit.gpgsign=false"])
        .args(arguments)
        .output()
        .expect("git starts");
    assert!(output.status.success(), "{output:?}");
}

fn commit(repository: &Path, subject: &str, why: &str) {
    let message = format!("{subject}\n\n{why}");
    git(
        repository,
        &["commit", "--quiet", "--allow-empty", "--message", &message],
    );
}

fn look_at_last(repository: &Path) -> Output {
    Command::new(root().join(".ci/commits"))
        .current_dir(repository)
        .arg("HEAD~1..HEAD")
        .output()
        .expect("it starts")
}

#[test]
fn commits_are_looked_at_as_contributing_asks() {
    let scratch = tempfile::tempdir().expect("a folder");
    let repository = scratch.path();
    git(repository, &["init", "--quiet"]);
    commit(repository, "first", "");
    let subject = "ksm: do not take an area from a GDT that has none";
    commit(repository, subject, "Otherwise it is another's.");
    let good = look_at_last(repository);
    assert!(good.status.success(), "{good:?}");
    let long = format!("ksm: {}", "x".repeat(68));
    for (subject, why, complaint) in [
        ("take nothing", "Why.", "the subject is not"),
        (&*long, "Why.", "longer than 72"),
        ("ksm: take nothing", "", "there is no body"),
    ] {
        commit(repository, subject, why);
        let bad = look_at_last(repository);
        assert_eq!(bad.status.code(), Some(1), "{subject}");
        let said = String::from_utf8_lossy(&bad.stderr);
        assert!(said.contains(complaint), "{said}");
    }
    let unknown = Command::new(root().join(".ci/commits"))
        .current_dir(repository)
        .arg("no-such-base..HEAD")
        .output()
        .expect("it starts");
    assert!(!unknown.status.success(), "{unknown:?}");
}

/// As git calls the hook: in the top folder, with the file of the message.
#[test]
fn a_message_is_looked_at_before_it_is_committed() {
    let scratch = tempfile::tempdir().expect("a folder");
    let message = scratch.path().join("message");
    let look = |text: &str| {
        std::fs::write(&message, text).expect("a message");
        Command::new(root().join(".githooks/commit-msg"))
            .current_dir(root())
            .arg(&message)
            .output()
            .expect("it starts")
    };
    for good in [
        "ksm: take nothing\n\nThere is nothing.\n# On branch main\n",
        "\n# A comment\nksm: take nothing\n\nWhy.\n",
        "fixup! ksm: take nothing\n",
    ] {
        let looked = look(good);
        assert!(looked.status.success(), "{good}: {looked:?}");
    }
    for bad in [
        "ksm: take nothing\n\n# Why\n",
        "take nothing\n\nWhy.\n",
        "ksm: take nothing\n",
        "",
    ] {
        let looked = look(bad);
        assert_eq!(looked.status.code(), Some(1), "{bad}");
        assert!(!looked.stderr.is_empty(), "{bad}");
    }
}
