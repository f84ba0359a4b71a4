// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hosts that mean harm, or that somebody stands before: with the same stand-in for ssh, which plays ssh's part too.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cki_process::files::write_program;

use super::Did;
use super::args::Action;
use super::error::Trouble;
use super::ssh::{Patience, Ssh};
use super::target::Target;

/// What ssh does about a key that it does not take, if it is told to take only known ones: else it goes on.
fn unless_strict(said: &str) -> String {
    format!(
        "case \" $* \" in
         *' -o StrictHostKeyChecking=yes '*) printf '%s\\n' '{said}' 'Host key verification failed.' >&9; exit 255 ;;
         *) printf '%s\\n' '{said}' >&9 ;;
         esac"
    )
}

#[test]
fn a_host_whose_key_is_unknown_or_another_is_left_alone_whatever_the_configuration_says() {
    for (said, remedy) in [
        (
            "No ED25519 host key is known for target and you have requested strict checking.",
            "connect once by hand",
        ),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
            "ssh-keygen -R",
        ),
    ] {
        for action in [Action::Switch, Action::Boot, Action::Status] {
            let target = Target::new();
            target.set("faults", &unless_strict(said));
            let done = target.act(action);
            assert_eq!((done.good, done.did), (false, Did::Failed), "{done:?}");
            assert!(done.text.contains(remedy), "{}", done.text);
            assert!(done.text.ends_with("; nothing was changed on it"));
            assert!(!target.get("scripts").contains("slot write"));
            assert_eq!(target.is(), ("a".to_owned(), "a".to_owned(), false));
        }
    }
}

/// Whether its script says it, or its shell ends as ssh does when it fails.
#[test]
fn a_host_that_speaks_in_sshs_words_is_not_taken_for_ssh() {
    for said in [
        "Host key verification failed.",
        "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED",
        "root@target: Permission denied (publickey).",
        "ssh: connect to host target port 22: Connection refused",
        "ssh: Could not resolve hostname target: Name or service not known",
    ] {
        for (status, remedy) in [
            (255, "the connection was lost (without a word)"),
            (1, "asking did not work there ("),
        ] {
            let target = Target::new();
            let line = format!("echo '{said}'; echo '{said}' >&2; exit {status}");
            target.fault("slot status", &line);
            let done = target.act(Action::Status);
            assert_eq!((done.good, done.did), (false, Did::Failed), "{done:?}");
            assert!(done.text.contains(remedy), "{status}: {}", done.text);
        }
    }
}

#[test]
fn known_keys_are_those_of_files_and_no_host_adds_one() {
    let target = Target::new();
    target.set(
        "faults",
        "for word in KnownHostsCommand=none UpdateHostKeys=no StrictHostKeyChecking=yes; do
             case \" $* \" in *\" -o $word \"*) ;; *) echo \"$word: $*\" >> \"$dir/weak\" ;; esac
         done",
    );
    target.set("weak", "");
    assert_eq!(target.act(Action::Switch).did, Did::Switched);
    assert_eq!(target.get("weak"), "");
}

#[test]
fn no_connection_hands_the_agent_or_a_forwarding_over() {
    let target = Target::new();
    target.set(
        "faults",
        "for word in -a -k -x '-o ClearAllForwardings=yes' '-o Tunnel=no' '-o PermitLocalCommand=no'; do
             case \" $* \" in *\" $word \"*) ;; *) echo \"$word: $*\" >> \"$dir/handed\" ;; esac
         done",
    );
    target.set("handed", "");
    assert_eq!(target.act(Action::Switch).did, Did::Switched);
    assert_eq!(target.get("handed"), "");
}

#[test]
fn a_host_that_ssh_would_not_know_again_is_not_restarted() {
    let target = Target::new();
    target.act(Action::Switch);
    let stat = "#!/bin/sh\n[ \"$1\" != -f ] || { echo tmpfs; exit; }\nexec /usr/bin/stat \"$@\"\n";
    let loses_var = |target: &Target| target.set("bin/stat", stat);
    loses_var(&target);
    let back = target.act(Action::Rollback);
    assert!(!back.good && back.text.contains("/var"), "{back:?}");
    assert_eq!(target.is(), ("b".to_owned(), "b".to_owned(), false));
    for action in [Action::Switch, Action::Test, Action::DryActivate] {
        let target = Target::new();
        loses_var(&target);
        let done = target.act(action);
        assert!(
            !done.good && done.text.contains("give it a disk for /var"),
            "{done:?}"
        );
        assert!(!target.get("scripts").contains("slot write"), "{action:?}");
        assert_eq!(target.get("boot"), "1");
    }
    let target = Target::new();
    loses_var(&target);
    assert_eq!(target.act(Action::Boot).did, Did::Armed);
}

#[test]
fn what_a_host_says_does_nothing_to_a_terminal() {
    let evil = "\u{1b}[1A\rroot@b: done\u{9b}2J\u{1b}]52;c;eA==\u{7}\u{7f}\t";
    let says = |status: u32| format!("printf '%s\\n' '{evil}' >&2; exit {status}");
    let odd = |word: &str| format!("printf '%s\\n' '{word}={evil}'");
    for (script, line) in [
        ("slot status", says(255)),
        ("slot status", says(1)),
        ("slot write", says(255)),
        ("slot write", says(1)),
        (
            "slot write",
            format!("echo 'No space left on device {evil}' >&2; exit 1"),
        ),
        ("slot try", says(3)),
        ("slot digests", says(3)),
        ("systemctl reboot", says(1)),
        ("# probe", says(1)),
        ("slot confirm", says(1)),
    ] {
        let mut target = Target::new();
        target.set("uptime", "49.00 1.00");
        target.options.limit = Duration::from_secs(60);
        target.options.probes.commands = vec!["true # probe".to_owned()];
        target.fault(script, &line);
        let done = target.act(Action::Switch);
        let json = serde_json::to_string(&done).expect("JSON");
        let news = target.news.lock().expect("news").concat();
        for text in [&done.text, &json, &news] {
            assert!(!text.contains(char::is_control), "{script}: {text:?}");
        }
        if !["slot digests", "slot confirm"].contains(&script) {
            assert!(!done.good, "{script}");
        }
    }
    for word in [
        "boot",
        "system",
        "slot",
        "default",
        "other",
        "failed",
        "units",
        "isolation",
    ] {
        let target = Target::new();
        target.set(
            "afterwards",
            &format!("case $script in *'slot status'*) {} ;; esac", odd(word)),
        );
        let done = target.act(Action::Switch);
        assert!(!done.good, "{word}");
        assert!(
            done.text.starts_with(&format!("it does not say {word}")),
            "{}",
            done.text
        );
        assert!(!done.text.contains(char::is_control), "{:?}", done.text);
    }
}

/// A host whose new system is on trial, has this isolation, and was not asked anything yet.
fn left_on_trial(before: &str, now: &str) -> Target {
    let target = Target::new();
    target.set("isolation", before);
    target.set("less", now);
    assert_eq!(target.act(Action::Boot).did, Did::Armed);
    // There is nothing left of the trial but the last ten seconds, and one.
    target.set("uptime", "49.00 1.00");
    target.restart();
    assert_eq!(target.is(), ("b".to_owned(), "a".to_owned(), true));
    target
}

#[test]
fn a_trial_with_less_isolation_is_not_kept_by_who_did_not_begin_it() {
    for (now, said) in [
        ("none (model)", "is none (model), and it was full (cki)"),
        ("", "says nothing of isolation, and it was full (cki)"),
    ] {
        for action in [Action::Confirm, Action::Switch] {
            let target = left_on_trial("full (cki)", now);
            let done = target.act(action);
            assert!(
                !done.good && done.text.contains(said),
                "{action:?}: {done:?}"
            );
            assert!(
                !target.get("scripts").contains("slot confirm"),
                "{action:?}"
            );
            assert_eq!(target.is(), ("b".to_owned(), "a".to_owned(), true));
        }
    }
    for (before, now) in [
        ("none (model)", "none (model)"),
        ("none (model)", "full (cki)"),
        ("", ""),
    ] {
        let target = left_on_trial(before, now);
        assert_eq!(
            target.act(Action::Confirm).did,
            Did::Switched,
            "{before}: {now}"
        );
    }
}

#[test]
fn a_trial_of_which_nobody_knows_what_was_before_has_to_have_full_isolation() {
    let mut target = left_on_trial("full (cki)", "none (model)");
    target.set("old", "");
    let done = target.act(Action::Confirm);
    assert!(
        !done.good && done.text.contains("is not known; --force takes that"),
        "{done:?}"
    );
    assert!(!target.get("scripts").contains("slot confirm"));
    target.options.force = true;
    assert_eq!(target.act(Action::Confirm).did, Did::Switched);
    let target = left_on_trial("full (cki)", "full (cki)");
    target.set("old", "");
    assert_eq!(target.act(Action::Confirm).did, Did::Switched);
}

#[test]
fn a_way_back_to_less_isolation_is_none() {
    let target = Target::new();
    assert_eq!(target.act(Action::Switch).did, Did::Switched);
    target.set("less", "none (model)");
    target.set("uptime", "49.00 1.00");
    let back = target.act(Action::Rollback);
    assert!(
        !back.good && back.text.contains("is none (model), and it was full (cki)"),
        "{back:?}"
    );
    assert!(back.text.contains("(slot b, the default)"), "{back:?}");
    let target = Target::new();
    target.set("less", "none (model)");
    target.set("uptime", "49.00 1.00");
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("and it was full (cki)"),
        "{done:?}"
    );
}

#[test]
fn a_host_that_takes_no_more_of_a_system_is_given_up() {
    let mut target = Target::new();
    // More than a pipe takes by itself.
    std::fs::write(&target.systems[1].files[2], vec![b'r'; 1 << 20]).expect("written");
    target.options.still = Duration::from_secs(1);
    target.fault("slot write", "exec /bin/sleep 1000");
    let start = Instant::now();
    let done = target.act(Action::Switch);
    assert!(
        !done.good
            && done
                .text
                .contains("taken nothing more of the system for 1 s"),
        "{done:?}"
    );
    assert!(done.text.contains("(slot a, the default)"), "{done:?}");
    assert!(start.elapsed() < Duration::from_secs(100));
}

#[test]
fn a_host_that_says_without_end_is_not_listened_to() {
    for (script, line) in [
        ("slot status", "exec yes"),
        ("slot write", "exec yes >&2"),
        ("slot try", "exec yes"),
    ] {
        let target = Target::new();
        target.fault(script, line);
        let done = target.act(Action::Switch);
        assert!(
            !done.good && done.text.contains("far more than it was asked"),
            "{done:?}"
        );
        assert_eq!(target.is(), ("a".to_owned(), "a".to_owned(), false));
    }
}

#[test]
fn a_host_that_takes_a_byte_at_a_time_has_no_more_time_for_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let [file, program] = ["file", "ssh"].map(|name| directory.path().join(name));
    std::fs::write(&file, vec![0; 1 << 20]).expect("written");
    write_program(
        &program,
        "#!/bin/sh\nwhile head -c 8192 > /dev/null; do sleep 0.1; done\n",
    )
    .expect("a program");
    let ssh = Ssh {
        program: program.into(),
        config: None,
        host: "root@a".parse().expect("a host"),
    };
    let patience = Patience {
        whole: Duration::from_secs(2),
        still: Duration::from_secs(1000),
    };
    let late = ssh.run("x", &[file], &|_| (), patience, &|| false);
    assert!(matches!(late, Err(Trouble::Late)), "{late:?}");
}

#[test]
fn an_address_that_never_answers_keeps_nobody_who_asks_for_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let mut target = Target::new();
    target.options.probes.urls = vec![format!("http://{address}/").parse().expect("a URL")];
    target.options.probes.commands = vec!["true # probe".to_owned()];
    let (start, asked) = (Mutex::new(None), AtomicBool::new(false));
    let done = target.act_until(Action::Switch, &|scripts| {
        if scripts.contains("# probe") && !asked.swap(true, Ordering::SeqCst) {
            *start.lock().expect("a time") = Some(Instant::now());
        }
        let start = *start.lock().expect("a time");
        start.is_some_and(|start: Instant| start.elapsed() > Duration::from_secs(2))
    });
    assert_eq!(done.did, Did::Interrupted, "{done:?}");
    assert!(done.text.contains("It goes back to"), "{done:?}");
    let took = start
        .into_inner()
        .expect("a time")
        .expect("it was asked")
        .elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    // What is left of the trial is all that it has.
    let mut target = Target::new();
    target.set("uptime", "48.00 1.00");
    target.options.probes.urls = vec![format!("http://{address}/").parse().expect("a URL")];
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("does not answer"),
        "{done:?}"
    );
}
