// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is done on a host, with a stand-in for it: each step, and what becomes of it when that step fails.

use std::time::Duration;

use super::Did;
use super::args::Action;
use super::target::Target;

const OLD: &str = "aaaaaaaaaaaa";
const NEW: &str = "bbbbbbbbbbbb";

#[test]
fn a_switch_writes_tries_asks_and_confirms() {
    let target = Target::new();
    let done = target.act(Action::Switch);
    assert!(done.good, "{done:?}");
    assert_eq!(done.did, Did::Switched);
    assert_eq!(
        done.text,
        format!("runs {NEW} (slot b, the default); slot a has {OLD}")
    );
    target.settled("b");
    let received = std::fs::read(target.path("received")).expect("received");
    assert!(received.starts_with(b"kernelinitial") && received.len() == 8205);

    // Again, there is nothing to do, and nothing is written or restarted.
    target.set("scripts", "");
    let again = target.act(Action::Switch);
    assert_eq!((again.good, again.did), (true, Did::Nothing));
    let scripts = target.get("scripts");
    assert!(
        !scripts.contains("write") && !scripts.contains("reboot"),
        "{scripts}"
    );

    let back = target.act(Action::Rollback);
    assert_eq!((back.good, back.did), (true, Did::Switched));
    target.settled("a");
    // What is there whole is not written again.
    target.set("scripts", "");
    assert_eq!(target.act(Action::Switch).did, Did::Switched);
    assert!(!target.get("scripts").contains("write"));
}

#[test]
fn a_system_with_another_kernel_is_another_although_it_has_the_same_name() {
    let target = Target::new();
    target.set("system_a", &target.systems[1].name);
    target.set("start_a", "another");
    assert_eq!(target.act(Action::Switch).did, Did::Switched);
    target.settled("b");
    assert!(target.get("scripts").contains("slot write"));
}

#[test]
fn a_plan_says_what_would_be_done_and_changes_nothing() {
    let target = Target::new();
    let plan = target.act(Action::DryActivate);
    assert!(plan.good, "{plan:?}");
    let news = target.news.lock().expect("news").join("\n");
    assert!(news.contains("would write 8.01 KiB to slot b"), "{news}");
    assert!(
        news.contains(&format!(
            "would restart into {NEW}, on trial for 60 s, in place of {OLD}"
        )),
        "{news}"
    );
    let scripts = target.get("scripts");
    for word in ["write", "try", "confirm", "reboot"] {
        assert!(!scripts.contains(word), "{scripts}");
    }
    target.settled("a");
}

#[test]
fn a_test_is_not_confirmed_before_somebody_says_so() {
    let target = Target::new();
    let tried = target.act(Action::Test);
    assert_eq!((tried.good, tried.did), (true, Did::OnTrial));
    assert!(
        tried.text.contains("on trial, of 60 s with 55 left"),
        "{}",
        tried.text
    );
    assert_eq!(target.is(), ("b".to_owned(), "a".to_owned(), true));
    let kept = target.act(Action::Confirm);
    assert_eq!((kept.good, kept.did), (true, Did::Switched));
    target.settled("b");
    let nothing = target.act(Action::Confirm);
    assert!(
        !nothing.good && nothing.text.contains("nothing on trial"),
        "{nothing:?}"
    );

    let target = Target::new();
    target.act(Action::Test);
    assert_eq!(target.act(Action::Rollback).did, Did::Ended);
    target.settled("a");
}

#[test]
fn boot_leaves_the_rest_to_the_host_and_can_be_taken_back() {
    let target = Target::new();
    let armed = target.act(Action::Boot);
    assert_eq!((armed.good, armed.did), (true, Did::Armed));
    assert_eq!(target.get("next"), "b 60 running");
    assert_eq!(target.get("boot"), "1");
    assert!(
        armed.text.ends_with("which the next start tries"),
        "{}",
        armed.text
    );
    assert_eq!(target.act(Action::Rollback).did, Did::Disarmed);
    target.settled("a");
    let none = Target::new().act(Action::Rollback);
    assert!(
        !none.good && none.text.contains("nothing to go back to"),
        "{none:?}"
    );
}

#[test]
fn what_is_never_well_goes_back_and_is_not_taken_again() {
    for (file, text, why) in [
        ("after", "degraded", "its units are degraded"),
        ("after", "starting", "its units are starting"),
    ] {
        let mut target = Target::new();
        target.set(file, text);
        // The trial has 11 s left, of which the last ten are nobody's.
        target.set("uptime", "49.00 1.00");
        let done = target.act(Action::Switch);
        assert_eq!((done.good, done.did), (false, Did::Failed));
        assert!(done.text.contains(why), "{}", done.text);
        assert!(
            done.text
                .contains(&format!("It runs {OLD} (slot a, the default)")),
            "{}",
            done.text
        );
        assert!(
            done.text.ends_with(&format!("the trial of {NEW} failed")),
            "{}",
            done.text
        );
        target.settled("a");

        let again = target.act(Action::Switch);
        assert!(
            !again.good && again.text.contains("has failed on it before"),
            "{again:?}"
        );
        let plan = target.act(Action::DryActivate);
        assert!(!plan.good && plan.text.contains("--force"), "{plan:?}");
        assert!(!target.act(Action::Rollback).good);
        std::fs::remove_file(target.path("after")).expect("removed");
        target.options.force = true;
        assert_eq!(target.act(Action::Switch).did, Did::Switched);
        target.settled("b");
    }
}

#[test]
fn the_users_probes_decide_too() {
    let mut target = Target::new();
    target.set("uptime", "44.00 1.00");
    target.options.probes.commands = vec!["echo not yet >&2; false".to_owned()];
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("false`: not yet"),
        "{done:?}"
    );
    target.settled("a");

    // One that is green at last is green.
    let mut target = Target::new();
    let mark = target.path("mark").display().to_string();
    target.options.probes.commands = vec![format!("[ -e {mark} ] || {{ : > {mark}; exit 1; }}")];
    assert_eq!(target.act(Action::Switch).did, Did::Switched);

    let mut target = Target::new();
    target.set("uptime", "44.00 1.00");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    target.options.probes.urls = vec![format!("http://{address}/").parse().expect("a URL")];
    let done = target.act(Action::Switch);
    // The last round may have been too short to be refused.
    let is_told = ["refused", "does not answer in time"].map(|why| done.text.contains(why));
    assert!(!done.good && is_told.contains(&true), "{done:?}");
    assert!(done.text.contains(&address.to_string()), "{done:?}");
    target.settled("a");
}

#[test]
fn a_trial_that_dies_is_told_from_one_that_is_not_well() {
    let target = Target::new();
    target.set("dies", "");
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("the trial ended by itself"),
        "{done:?}"
    );
    assert!(done.text.contains(&format!("It runs {OLD}")), "{done:?}");
    target.settled("a");
}

#[test]
fn each_step_that_fails_says_why_and_leaves_the_old_system() {
    for (script, line, why) in [
        (
            "slot status",
            "echo 'slot: something else changes the slots' >&2; exit 1",
            "try again in a minute",
        ),
        ("slot status", "echo refused=slots; exit", "disk with slots"),
        ("slot status", "echo refused=root; exit", "root@MACHINE"),
        (
            "slot status",
            "echo 'Connection refused' >&9; exit 255",
            "cannot be reached",
        ),
        (
            "slot write",
            "echo 'cat: write error: No space left on device' >&2; exit 1",
            "its disk is full",
        ),
        (
            "slot write",
            "echo 'Connection reset by peer' >&9; exit 255",
            "connection was lost",
        ),
        (
            "slot write",
            "script=$(printf %s \"$script\" | sed 's/8192/8193/')",
            "less than was announced",
        ),
        (
            "slot write",
            "exit 0",
            "does not say that it has the system now",
        ),
        (
            "slot try",
            "echo 'Connection reset by peer' >&9; exit 255",
            "connection was lost",
        ),
        (
            "slot try",
            "echo 'slot: no' >&2; exit 1",
            "preparing the next start did not work there (no)",
        ),
        (
            "systemctl reboot",
            "exit 3",
            "restarting did not work there (ended with status 3)",
        ),
        (
            "systemctl reboot",
            "echo 'Host key verification failed.' >&9; exit 255",
            "does not know its host key",
        ),
    ] {
        let target = Target::new();
        target.fault(script, line);
        let done = target.act(Action::Switch);
        assert_eq!(
            (done.good, done.did),
            (false, Did::Failed),
            "{script}: {line}"
        );
        assert!(done.text.contains(why), "{script}: {line}: {}", done.text);
        target.settled("a");
        assert_eq!(target.get("boot"), "1", "{script}: {line}");
        if script == "slot status" {
            assert!(
                done.text.ends_with("; nothing was changed on it"),
                "{}",
                done.text
            );
        } else {
            assert!(
                done.text
                    .contains(&format!(". It runs {OLD} (slot a, the default)")),
                "{}",
                done.text
            );
        }
    }
    let mut target = Target::new();
    target.systems[1].sizes[2] = 8193;
    let done = target.act(Action::Switch);
    assert!(
        done.text.contains("8193 bytes, and its slot 8192"),
        "{done:?}"
    );
    assert!(!target.get("scripts").contains("slot write"));
}

#[test]
fn what_somebody_else_does_for_a_moment_is_waited_for() {
    for script in ["slot status", "slot write", "slot try"] {
        let target = Target::new();
        target.fault(
            script,
            "[ -e \"$dir/twice\" ] || { [ ! -e \"$dir/once\" ] || : > \"$dir/twice\"; : > \"$dir/once\"
             echo 'slot: something else changes the slots' >&2; exit 1; }",
        );
        assert_eq!(target.act(Action::Switch).did, Did::Switched, "{script}");
        target.settled("b");
    }
}

#[test]
fn an_armed_start_whose_answer_is_lost_is_taken_back() {
    let target = Target::new();
    target.set(
        "afterwards",
        "case $script in *'slot try'*) echo 'Connection reset' >&9; status=255 ;; esac",
    );
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("connection was lost"),
        "{done:?}"
    );
    target.settled("a");
    assert_eq!(target.get("boot"), "1");
}

#[test]
fn a_confirmation_whose_answer_is_lost_is_asked_for() {
    let target = Target::new();
    target.set(
        "afterwards",
        "case $script in *'slot confirm'*) echo 'Connection reset' >&9; status=255 ;; esac",
    );
    let done = target.act(Action::Switch);
    assert_eq!((done.good, done.did), (true, Did::Switched), "{done:?}");
    target.settled("b");

    // One that did not arrive is sent again.
    let target = Target::new();
    let mark = target.path("mark").display().to_string();
    target.fault(
        "slot confirm",
        &format!("[ -e {mark} ] || {{ : > {mark}; echo 'Connection reset' >&9; exit 255; }}"),
    );
    let done = target.act(Action::Switch);
    assert_eq!((done.good, done.did), (true, Did::Switched), "{done:?}");
    target.settled("b");
}

#[test]
fn a_host_that_does_not_come_back_or_has_another_key_is_left_to_itself() {
    let mut target = Target::new();
    target.options.limit = Duration::from_secs(1);
    let gone = "[ $(cat \"$dir/boot\") = 1 ] || { echo 'Connection refused' >&9; exit 255; }";
    target.set("faults", gone);
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("it has not come up again in"),
        "{done:?}"
    );
    assert!(done.text.contains("(it cannot be reached"), "{done:?}");
    assert!(
        done.text.ends_with(&format!(
            "It goes back to {OLD} by itself at the latest 1 s after its start"
        )),
        "{done:?}"
    );
    // What the next run says, when it can be asked again.
    target.set("faults", "");
    let status = target.act(Action::Status);
    assert!(
        status.good && status.text.contains("on trial"),
        "{status:?}"
    );

    let target = Target::new();
    target.set(
        "faults",
        &gone.replace(
            "Connection refused",
            "REMOTE HOST IDENTIFICATION HAS CHANGED!",
        ),
    );
    let done = target.act(Action::Switch);
    assert!(
        !done.good && done.text.contains("ssh-keygen -R"),
        "{done:?}"
    );
    assert!(done.text.contains("It goes back to"), "{done:?}");
}

#[test]
fn whoever_asks_for_the_end_at_any_step_leaves_a_whole_system_and_is_told_which() {
    let steps = [
        (
            "slot status",
            "a",
            "It runs aaaaaaaaaaaa (slot a, the default)",
        ),
        (
            "slot digests",
            "a",
            "It runs aaaaaaaaaaaa (slot a, the default)",
        ),
        (
            "slot write",
            "a",
            "It runs aaaaaaaaaaaa (slot a, the default)",
        ),
        (
            "slot try",
            "a",
            "It runs aaaaaaaaaaaa (slot a, the default)",
        ),
        ("systemctl reboot", "a", "aaaaaaaaaaaa"),
        ("# probe", "a", "It goes back to aaaaaaaaaaaa now"),
    ];
    for (step, slot, said) in steps {
        let mut target = Target::new();
        // So that a step which is asked for is under way when the end is asked for.
        target.fault(
            step,
            "[ -e \"$dir/stopped\" ] || { : > \"$dir/stopped\"; /bin/sleep 0.3; }",
        );
        target.options.probes.commands = vec!["true # probe".to_owned()];
        if step == "slot digests" {
            // Asked only of what may be the same.
            target.set("system_b", &target.systems[1].name);
        }
        let stopped = target.path("stopped");
        let done = target.act_until(Action::Switch, &|_| stopped.exists());
        assert_eq!(
            (done.good, done.did),
            (false, Did::Interrupted),
            "{step}: {done:?}"
        );
        if step == "slot status" {
            assert!(
                done.text.ends_with("nothing was changed on it"),
                "{step}: {}",
                done.text
            );
        } else {
            assert!(done.text.contains(said), "{step}: {}", done.text);
        }
        target.settled(slot);
    }
    // The last word may have arrived: then it is the new one, and that is said.
    let target = Target::new();
    target.set(
        "afterwards",
        "case $script in *'slot confirm'*) : > \"$dir/stopped\"; /bin/sleep 0.3 ;; esac",
    );
    let stopped = target.path("stopped");
    let done = target.act_until(Action::Switch, &|_| stopped.exists());
    assert_eq!(done.did, Did::Interrupted);
    assert!(
        done.text
            .contains("It runs bbbbbbbbbbbb (slot b, the default)"),
        "{}",
        done.text
    );
    target.settled("b");
}

#[test]
fn a_trial_of_somebody_elses_is_named_and_left() {
    let target = Target::new();
    target.act(Action::Test);
    // It runs what was wanted: a switch keeps it.
    assert_eq!(target.act(Action::Switch).did, Did::Switched);
    let mut target = Target::new();
    target.act(Action::Test);
    let boot = target.act(Action::Boot);
    assert!(
        !boot.good && boot.text.contains("has bbbbbbbbbbbb on trial"),
        "{boot:?}"
    );
    target.systems[1].name = target.systems[1].name.replace('b', "c");
    let other = target.act(Action::Switch);
    assert!(
        !other.good && other.text.contains("has bbbbbbbbbbbb on trial"),
        "{other:?}"
    );
    assert_eq!(target.is(), ("b".to_owned(), "a".to_owned(), true));
}
