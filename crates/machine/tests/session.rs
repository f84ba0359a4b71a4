// SPDX-License-Identifier: MIT OR Apache-2.0

//! The session driver against a machine played by a shell script that inherits QEMU's descriptors.

mod fake;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use cki_machine::{Ended, MachineError, Signals};
use cki_session::{Container, Failure, FailureKind, Memory, Outcome, Signal, Status};

use fake::{END, Fake, HELLO};

#[test]
fn the_programs_status_is_the_sessions() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"ended","id":1,"outcome":{{"exited":7}}}}' >&3 {END}"#
    ));
    let ended = fake.run().expect("the session ends well");
    assert_eq!(ended.outcome, Outcome::Exited(7));
    assert_eq!(ended.kernel.as_deref(), Some("6.12-test"));
    assert!(ended.times.hello <= ended.times.started);
}

#[test]
fn the_machine_is_kept_until_all_output_that_it_announced_has_come() {
    // The emulator had it, and gives it only after the program's end was told.
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"output","id":1,"stdout":5,"stderr":6}}' >&3
        echo '{{"type":"ended","id":1,"outcome":{{"exited":0}}}}' >&3
        sleep 0.2; echo late >&5; sleep 0.2; echo later >&6
        read -r end <&3; {END}"#
    ));
    assert_eq!(fake.outcome(), Outcome::Exited(0));
    assert_eq!(fake.stdout(), b"late\n");
    assert_eq!(*fake.stderr.0.lock().expect("lock"), b"later\n");
}

#[test]
fn death_by_signal_is_reported_as_such() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"ended","id":1,"outcome":{{"signaled":{{"signal":9,"out_of_memory":true}}}}}}' >&3 {END}"#
    ));
    let outcome = fake.outcome();
    assert_eq!(
        outcome,
        Outcome::Signaled {
            signal: Signal::KILL,
            out_of_memory: true,
            out_of_page_tables: false,
        }
    );
    assert_eq!(outcome.status(), Status(137));
}

#[test]
fn the_request_carries_arguments_and_environment() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo "$request" >&5; echo '{{"type":"ended","id":1,"outcome":{{"exited":0}}}}' >&3 {END}"#
    ));
    fake.outcome();
    let request: serde_json::Value = serde_json::from_slice(&fake.stdout()).expect("JSON");
    assert_eq!(request["type"], "run");
    assert_eq!(
        request["process"]["argv"],
        serde_json::json!(["prog", "arg"])
    );
    assert_eq!(request["process"]["env"], serde_json::json!([["K", "V"]]));
}

#[test]
fn the_streams_are_kept_apart_and_input_ends() {
    let mut fake = Fake::new(&format!(
        r#"{HELLO} echo console >&7; echo oops >&6; cat <&4 >&5
        echo '{{"type":"ended","id":1,"outcome":{{"exited":0}}}}' >&3 {END}"#
    ));
    fake.stdin = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fake.outcome();
    assert!(
        fake.stdout() == fake.stdin,
        "12 MB come back as they were sent"
    );
    assert_eq!(*fake.stderr.0.lock().expect("lock"), b"oops\n");
    assert_eq!(*fake.console.0.lock().expect("lock"), b"console\n");
}

#[test]
fn a_program_that_is_not_there_has_the_shells_status() {
    for (kind, status) in [("not-found", 127), ("not-executable", 126)] {
        let fake = Fake::new(&format!(
            r#"{HELLO} echo '{{"type":"ended","id":1,"outcome":{{"failed":{{"kind":"{kind}","message":"no"}}}}}}' >&3 {END}"#
        ));
        assert_eq!(fake.outcome().status(), Status(status));
    }
}

#[test]
fn a_failure_before_the_program_has_the_console_only_where_that_helps() {
    let cases = [
        ("image", FailureKind::Image),
        ("request", FailureKind::Request),
        ("internal", FailureKind::Internal),
    ];
    for (kind, expected) in cases {
        let fake = Fake::new(&format!(
            r#"{HELLO} echo 'last words' >&7
            echo '{{"type":"ended","id":1,"outcome":{{"failed":{{"kind":"{kind}","message":"it is so"}}}}}}' >&3 {END}"#
        ));
        let outcome = fake.outcome();
        assert_eq!(outcome.status(), Status::FAILED);
        let Outcome::Failed(Failure { kind, message }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(kind, expected);
        if kind == FailureKind::Internal {
            assert_eq!(
                message,
                "it is so\nend of the kernel console:\n  last words"
            );
        } else {
            assert_eq!(message, "it is so");
        }
    }
}

#[test]
fn a_machine_that_crashes_is_reported_with_its_console() {
    let fake = Fake::new(&format!(
        "{HELLO} echo 'Kernel panic - not syncing' >&7; echo 'qemu: bad' >&2; exit 0"
    ));
    let message = fake.run().expect_err("a crash").to_string();
    assert!(
        message.starts_with("the machine ended with status 0 while the program was running"),
        "{message}"
    );
    assert!(message.contains("Kernel panic - not syncing"), "{message}");
    assert!(message.contains("qemu: bad"), "{message}");
}

#[test]
fn a_status_without_the_machines_orderly_end_is_not_believed() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"ended","id":1,"outcome":{{"exited":0}}}}' >&3; exit 1"#
    ));
    let message = fake.run().expect_err("a crash").to_string();
    assert!(message.contains("after the program had ended"), "{message}");
}

#[test]
fn another_protocol_version_is_refused() {
    let fake = Fake::new(r#"echo '{"type":"hello","version":99,"kernel":"x"}' >&3; sleep 1000"#);
    let error = fake.run().expect_err("another version");
    assert!(
        matches!(error, MachineError::Mismatch { stays: false, .. }),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(
        message.contains("version 99") && message.contains("update this program"),
        "{message}"
    );
}

#[test]
fn what_the_machine_does_not_support_is_not_asked_of_it() {
    let mut fake = Fake::new(&format!("{HELLO} echo asked >&5; sleep 1000"));
    fake.container = Some(Container::new(Memory::constant(256)));
    let message = fake.run().expect_err("unsupported").to_string();
    assert!(
        message.contains("does not support `container`"),
        "{message}"
    );
    assert_eq!(fake.stdout(), b"");
}

#[test]
fn news_that_is_not_understood_changes_nothing() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"paused","id":1}}' >&3
        echo '{{"type":"refused","message":"no process 7"}}' >&3
        echo '{{"type":"ended","id":1,"outcome":{{"exited":3}},"at":5}}' >&3 {END}"#
    ));
    assert_eq!(fake.outcome(), Outcome::Exited(3));
}

#[test]
fn time_over_asks_the_program_to_end_and_gives_124() {
    let mut fake = Fake::new(&format!(
        r#"{HELLO} read -r signal <&3; echo "$signal" >&5
        echo '{{"type":"ended","id":1,"outcome":{{"signaled":{{"signal":15,"out_of_memory":false}}}}}}' >&3 {END}"#
    ));
    fake.timeout = Some(Duration::from_millis(50));
    assert_eq!(fake.outcome().status(), Status::TIMEOUT);
    assert_eq!(
        fake.stdout(),
        b"{\"type\":\"signal\",\"id\":1,\"signal\":15}\n"
    );
}

#[test]
fn saying_again_that_the_program_started_gives_it_no_more_time() {
    let mut fake = Fake::new(&format!(
        r#"{HELLO} n=0; while [ $n -lt 200 ]; do
            echo '{{"type":"started","id":1,"pid":2,"isolation":"none"}}' >&3; n=$((n+1)); sleep 0.05
        done; echo '{{"type":"ended","id":1,"outcome":{{"exited":0}}}}' >&3 {END}"#
    ));
    fake.timeout = Some(Duration::from_millis(300));
    assert_eq!(fake.outcome(), Outcome::TimedOut);
}

#[test]
fn a_program_that_does_not_listen_is_ended_all_the_same() {
    let mut fake = Fake::new(&format!("{HELLO} exec sleep 1000"));
    fake.timeout = Some(Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(fake.outcome(), Outcome::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// Runs `fake`, sending `signals` once its machine has written a line, and each after the line about the last.
fn with_signals(fake: &Fake, signals: &'static [Signal]) -> Ended {
    let (sender, handle) = mpsc::channel();
    let stdout = fake.stdout.clone();
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let watcher = std::thread::spawn(move || {
        let to: Signals = handle.recv().expect("a handle");
        for (sent, signal) in signals.iter().enumerate() {
            let lines = || {
                let text = stdout.0.lock().expect("lock");
                text.iter().filter(|&&byte| byte == b'\n').count()
            };
            while lines() <= sent {
                if told.load(Ordering::Acquire) {
                    return;
                }
                std::thread::yield_now();
            }
            to.send(*signal);
        }
    });
    let ended = fake
        .run_with(|signals| sender.send(signals).expect("sent"))
        .expect("the session ends well");
    over.store(true, Ordering::Release);
    watcher.join().expect("joined");
    ended
}

#[test]
fn signals_are_the_programs() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo ready >&5
        for n in 1 2 3; do read -r signal <&3; echo "$signal" >&5; done
        echo '{{"type":"ended","id":1,"outcome":{{"exited":5}}}}' >&3 {END}"#
    ));
    let ended = with_signals(&fake, &[Signal::TERM, Signal::INT, Signal::HUP]);
    assert_eq!(ended.outcome, Outcome::Exited(5));
    let said = String::from_utf8(fake.stdout()).expect("text");
    let expected = [15, 2, 1].map(|n| format!("{{\"type\":\"signal\",\"id\":1,\"signal\":{n}}}\n"));
    assert_eq!(said, format!("ready\n{}", expected.concat()));
}

#[test]
fn a_second_interrupt_ends_the_machine() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo $$ >&5; read -r signal <&3; echo "$signal" >&5; exec sleep 1000"#
    ));
    let ended = with_signals(&fake, &[Signal::INT, Signal::INT]);
    assert_eq!(ended.outcome, Outcome::signaled(Signal::INT));
    assert_eq!(ended.outcome.status(), Status(130));
    let said = String::from_utf8(fake.stdout()).expect("text");
    let pid = said.lines().next().expect("a number");
    assert!(
        !Path::new("/proc").join(pid).exists(),
        "the machine is gone"
    );
}

#[test]
fn a_signal_before_the_program_runs_ends_the_machine() {
    let fake = Fake::new("echo booting >&5; exec sleep 1000");
    let ended = with_signals(&fake, &[Signal::TERM]);
    assert_eq!(ended.outcome, Outcome::signaled(Signal::TERM));
}

#[test]
fn a_signal_that_waits_for_the_program_comes_with_the_request() {
    let fake = Fake::new(&format!(
        r#"echo booting >&5; sleep 0.3 {HELLO} read -r signal <&3; echo "$signal" >&5
        echo '{{"type":"ended","id":1,"outcome":{{"exited":0}}}}' >&3 {END}"#
    ));
    const USR1: Signal = match Signal::new(10) {
        Some(signal) => signal,
        None => unreachable!(),
    };
    assert_eq!(with_signals(&fake, &[USR1]).outcome, Outcome::Exited(0));
    let said = String::from_utf8(fake.stdout()).expect("text");
    assert!(said.ends_with("\"signal\":10}\n"), "{said}");
}

#[test]
fn output_that_nobody_reads_ends_the_machine() {
    let mut fake = Fake::new(&format!("{HELLO} echo x >&5; exec sleep 1000"));
    fake.unread = true;
    assert_eq!(fake.outcome().status(), Status(141));
}

#[test]
fn a_missing_image_or_emulator_is_named() {
    let fake = Fake::new("");
    std::fs::remove_file(fake.path("app.img")).expect("removed");
    let message = fake.run().expect_err("no image").to_string();
    assert!(message.contains("app.img"), "{message}");

    let fake = Fake::new("");
    std::fs::remove_file(fake.path("qemu")).expect("removed");
    let message = fake.run().expect_err("no emulator").to_string();
    assert!(message.contains("cannot start the emulator"), "{message}");
}
