// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binary with a host module that is preloaded (`module.c`): how a container ends that cannot be
//! made, or whose guest never gets as far as init. Each is one message, and what the launcher needs.

// What is printed is for the reader of a log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod common;
#[path = "common/preloaded.rs"]
mod preloaded;

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::process::ExitStatusExt;

use cki_abi::version::ABI_VERSION;
use cki_session::{Event, Failure, FailureKind, Outcome};
use common::kernel;
use preloaded::Launcher;

/// Expects one message, of a failure, with these parts; and nothing on standard error. Where there was a guest, it is
/// said before how much it has written, too: a client that hears nothing of that takes it for nothing.
fn fails(launcher: Launcher, parts: &[&str], has_guest: bool) {
    let (status, text, mut messages) = launcher.end();
    if has_guest {
        let output = messages.remove(0);
        assert!(matches!(output, Event::Output { .. }), "{output:?}");
    }
    assert_eq!(text.replace("running\n", ""), "");
    assert_eq!(status.code(), Some(125));
    let [
        Event::Ended {
            outcome: Outcome::Failed(Failure { message, kind }),
            ..
        },
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!(*kind, FailureKind::Internal);
    for part in parts {
        assert!(message.contains(part), "{part:?} in {message:?}");
    }
}

#[test]
fn a_container_that_cannot_be_made_is_one_message_with_the_reason() {
    let cases: [(&str, &str, &[&str]); 7] = [
        (
            "CKI_FAKE_VERSION",
            "9",
            &["interface version 9", "from one build"],
        ),
        ("CKI_FAKE_ABI", "9", &["ABI version 9", "from one build"]),
        ("CKI_FAKE_MISSING", "1", &["protection keys", "(PKS)"]),
        ("CKI_FAKE_MISSING", "2", &["no CKI extension"]),
        (
            "CKI_FAKE_FREE",
            "0x4000000",
            &["128 MiB", "only 64 MiB", "cki.pool="],
        ),
        ("CKI_FAKE_PIECES", "1", &["more than 32 pieces"]),
        ("CKI_FAKE_REFUSE", "1", &["text range 0", "E_GADGET"]),
    ];
    for (name, value, parts) in cases {
        let launcher = Launcher::start(&[(name, value)], &[], &kernel(ABI_VERSION));
        fails(launcher, parts, false);
    }
}

#[test]
fn a_guest_that_dies_or_hangs_before_init_is_one_message_with_what_it_printed() {
    let before = "before its init was up";
    let cases: [(&str, &[&str]); 3] = [
        ("6", &["kernel panicked", before, "not syncing: test"]),
        ("7", &["cannot go on", "#PF", before]),
        ("0", &["within 0.2 s", "--start-timeout"]),
    ];
    for (exit, parts) in cases {
        let options = ["--start-timeout", "0.2"];
        let limit = if exit == "0" { &options[..] } else { &[] };
        let launcher = Launcher::start(&[("CKI_FAKE_EXIT", exit)], limit, &kernel(ABI_VERSION));
        fails(launcher, parts, true);
    }
}

#[test]
fn a_client_that_goes_before_the_program_runs_takes_the_container_along() {
    let mut launcher = Launcher::start(&[], &[], &kernel(ABI_VERSION));
    launcher.wait_running();
    launcher.client.shutdown(Shutdown::Write).expect("closed");
    let (status, text, messages) = launcher.end();
    assert_eq!((status.code(), &text[..]), (Some(125), ""));
    assert!(
        matches!(
            &messages[..],
            [
                Event::Output {
                    stdout: 0,
                    stderr: 0,
                    ..
                },
                Event::Ended {
                    outcome: Outcome::Failed(_),
                    ..
                }
            ]
        ),
        "{messages:?}"
    );
}

#[test]
fn a_killed_launcher_says_nothing() {
    let mut launcher = Launcher::start(&[], &[], &kernel(ABI_VERSION));
    launcher.wait_running();
    launcher.kill();
    let (status, text, messages) = launcher.end();
    assert_eq!(status.signal(), Some(9));
    assert!(
        text.is_empty() && messages.is_empty(),
        "{text} {messages:?}"
    );
}

#[test]
fn a_running_launcher_needs_at_most_8_mib_beyond_the_guests_memory() {
    let mut large = kernel(ABI_VERSION);
    common::grow(&mut large, 40 << 20);
    let mut launcher = Launcher::start(&[], &[], &large);
    launcher.wait_running();
    let path = format!("/proc/{}/status", launcher.child.id());
    let text = std::fs::read_to_string(path).expect("it runs");
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [name, size, "kB"] = words[..] {
            sizes.insert(name, size.parse().expect("a number"));
        }
    }
    // The fake's guest memory is what is shared; the module's would not be counted at all.
    let (anonymous, all) = (sizes["RssAnon:"], sizes["VmRSS:"] - sizes["RssShmem:"]);
    println!("{anonymous} KiB of its own, {all} KiB with code");
    assert!(anonymous <= 2 << 10, "{anonymous} KiB");
    assert!(all <= 8 << 10, "{all} KiB");
    launcher.kill();
    launcher.end();
}
