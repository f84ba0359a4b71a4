// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build run -t`: a user at a real terminal, and programs that want one.

#[path = "terminal/programs.rs"]
mod programs;

use std::process::{Command, Stdio};
use std::time::Duration;

use cki_tests::screen::Screen;
use cki_tests::{RUNTIMES, emulator_of, run_on, variable};
use rustix::process::Signal;

/// A shell in a machine or container, at its first prompt.
fn shell(runtime: &str, options: &[&str]) -> Screen {
    let mut screen = start(runtime, options, &["bash", "--norc"]);
    screen.wait_for("# ");
    screen
}

/// A program that waits for its end. (An interactive bash that gets a signal just after its prompt may miss it, or
/// end with another status than its trap says; so it does on any machine.)
fn waiting(runtime: &str, options: &[&str]) -> Screen {
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    let mut screen = start(runtime, options, &["sh", "-c", script]);
    screen.wait_for("ready");
    screen
}

fn start(runtime: &str, options: &[&str], program: &[&str]) -> Screen {
    let words: Vec<_> = ["--quiet", "run", "-it", "--runtime", runtime]
        .iter()
        .chain(options)
        .chain(&["--"])
        .chain(program)
        .copied()
        .collect();
    Screen::start(&variable("CKI_BUILD"), &words)
}

/// It would wait for a key that nobody presses.
#[test]
fn a_terminal_without_a_keyboard_is_refused_before_anything_is_built() {
    let program = ["run", "-it", "--", "sh"];
    let mut command = Command::new(variable("CKI_BUILD"));
    let output = command.args(program).stdin(Stdio::null()).output();
    let output = output.expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("leave -t out"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_shell_has_job_control_and_the_size_of_the_users_terminal() {
    for runtime in RUNTIMES {
        let mut screen = shell(runtime, &[]);
        assert!(screen.is_raw(), "{runtime}");
        screen.run("stty size; echo $TERM", "30 100");
        screen.wait_for("xterm-256color");
        screen.run("sleep 1000 & jobs", "Running");
        screen.type_in("fg\r");
        screen.wait_for("sleep 1000\r\n");
        std::thread::sleep(Duration::from_millis(500));
        screen.type_in("\x1a");
        screen.wait_for("Stopped");
        // 148: it still counts as stopped.
        let wait = "kill -9 %1; while wait %1; s=$?; [ $s = 148 ]; do :; done; echo status $s";
        screen.run(wait, "status 137");
        screen.type_in("sleep 1000\r");
        screen.wait_for("sleep 1000\r\n");
        std::thread::sleep(Duration::from_millis(500));
        screen.type_in("\x03");
        screen.wait_for("# ");
        screen.run("echo status $?", "status 130");
        screen.resize(50, 120);
        // What is typed is on the screen, too, and has not the words.
        screen.run("until stty size | grep '50 12[0]'; do :; done", "50 120");
        screen.type_in("exit 7\r");
        assert_eq!(screen.end().code(), Some(7), "{runtime}");
        assert!(screen.is_as_before(), "{runtime}");
    }
}

#[test]
fn the_users_terminal_is_as_before_when_we_are_stopped_and_raw_again_when_we_go_on() {
    let mut screen = shell("native", &[]);
    screen.signal(Signal::TSTP);
    screen.wait_until("as before", Screen::is_as_before);
    screen.signal(Signal::CONT);
    screen.wait_until("raw", Screen::is_raw);
    screen.run("echo alive", "alive");
    screen.type_in("exit\r");
    assert_eq!(screen.end().code(), Some(0));
}

#[test]
fn the_users_terminal_is_as_before_however_the_session_ends() {
    // What a terminal that closes sends.
    let mut screen = waiting("cki", &[]);
    screen.signal(Signal::HUP);
    assert_eq!(screen.end().code(), Some(129));
    assert!(screen.is_as_before(), "after SIGHUP");

    let mut screen = waiting("native", &[]);
    screen.signal(Signal::TERM);
    assert_eq!(screen.end().code(), Some(5));
    assert!(screen.is_as_before(), "after SIGTERM");

    let mut screen = shell("native", &[]);
    emulator_of(screen.pid()).kill();
    assert_eq!(screen.end().code(), Some(125));
    assert!(screen.is_as_before(), "after the machine was killed");

    let mut screen = start(
        "native",
        &["--timeout", "1s", "--stop-timeout", "100ms"],
        &["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
    );
    assert_eq!(screen.end().code(), Some(124));
    assert!(screen.is_as_before(), "after the time was over");
}

#[test]
fn a_terminal_needs_no_terminal_of_ours() {
    for runtime in RUNTIMES {
        let output = run_on(runtime, &["-t"], &["sh", "-c", "stty size; cat"], b"a line");
        assert_eq!(output.status, 0, "{}", output.stderr);
        // The terminal echoes what is typed, whenever that comes.
        assert!(output.text().contains("24 80\r\n"), "{}", output.text());
        assert!(output.text().contains("a line"), "{}", output.text());
    }
}
