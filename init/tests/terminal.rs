// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs with a terminal of their own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use cki_init::program::oom::KernelLog;
use cki_init::program::pump::non_blocking;
use cki_init::program::running::{Ends, Running};
use cki_init::program::start;
use cki_session::{Outcome, Process, ProcessId, Signal, Terminal};
use nix::poll::{PollFd, PollTimeout, poll};

/// A program with a terminal, and its client's ends of the streams.
struct Client {
    running: Running,
    stdin: Option<File>,
    stdout: File,
}

fn pipe() -> (File, File) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (File::from(read), File::from(write))
}

fn run(script: &str, size: Terminal) -> Client {
    serve(script, Some(size))
}

fn serve(script: &str, terminal: Option<Terminal>) -> Client {
    let mut process = Process::new(["sh", "-c", script]);
    process.terminal = terminal;
    let started = start(&process).unwrap();
    let ((stdin_there, stdin), (stdout, stdout_there)) = (pipe(), pipe());
    let ours = |file: File| non_blocking(file.into()).unwrap();
    let ends = Ends {
        stdin: ours(stdin_there),
        stdout: ours(stdout_there),
        stderr: ours(pipe().1),
    };
    Client {
        running: Running::new(ProcessId::MAIN, started, ends).unwrap(),
        stdin: Some(stdin),
        stdout: ours(stdout),
    }
}

impl Client {
    /// Serves the program for a moment; what it wrote meanwhile.
    fn serve(&mut self) -> String {
        let (mut fds, mut streams) = (Vec::new(), Vec::new());
        for (stream, fd, flags) in self.running.interests() {
            fds.push(PollFd::new(fd, flags));
            streams.push(stream);
        }
        poll(&mut fds, PollTimeout::from(20_u8)).unwrap();
        let seen: Vec<_> = fds.iter().map(|fd| fd.revents().unwrap()).collect();
        for (stream, flags) in streams.into_iter().zip(seen) {
            if !flags.is_empty() {
                self.running.advance(stream, flags);
            }
        }
        if self.running.ended().is_none() {
            let mut status = 0;
            // SAFETY: `status` is a place for the int that waitpid writes; the program is no `Child` any more.
            let pid = unsafe { libc::waitpid(self.running.pid(), &mut status, libc::WNOHANG) };
            if pid == self.running.pid() {
                self.running.end(ExitStatus::from_raw(status));
            }
        }
        let mut bytes = Vec::new();
        // Nothing more for now is an error here, which ends the reading.
        let _ = self.stdout.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    /// Serves the program until it has written `text`.
    fn wait_for(&mut self, text: &str) {
        let (start, mut got) = (Instant::now(), String::new());
        while !got.contains(text) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{text} in {got:?}"
            );
            got += &self.serve();
        }
    }

    /// Serves the program until the terminal is with a job whose first process is called `name`: whoever types
    /// earlier, types for the shell.
    fn wait_for_foreground(&mut self, name: &str) {
        let start = Instant::now();
        while self.foreground().as_deref() != Some(name) {
            assert!(start.elapsed() < Duration::from_secs(30), "no {name}");
            self.serve();
        }
    }

    /// What the first process of the job is called that has the terminal.
    fn foreground(&self) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.running.pid())).ok()?;
        // Behind the program's name: its state, parent, group, session, terminal, and the terminal's group.
        let group = stat.rsplit_once(") ")?.1.split(' ').nth(5)?;
        let name = fs::read_to_string(format!("/proc/{group}/comm")).ok()?;
        Some(name.trim_end().to_owned())
    }

    /// Serves the program until it has so many descriptors open; a shell's own, from 10 on, are not counted.
    fn wait_for_descriptors(&mut self, count: usize) {
        let (start, pid) = (Instant::now(), self.running.pid());
        let is_open =
            |number: &usize| fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
        while (0..10).filter(is_open).count() != count {
            assert!(start.elapsed() < Duration::from_secs(30));
            self.serve();
        }
    }

    fn type_in(&mut self, text: &str) {
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// Serves the program to its end: what it wrote, and how it ended.
    fn end(mut self) -> (String, ExitStatus) {
        let (start, mut got) = (Instant::now(), String::new());
        while !self.running.is_over() {
            assert!(start.elapsed() < Duration::from_secs(30), "{got:?}");
            got += &self.serve();
        }
        got += &self.serve();
        (got, self.running.ended().unwrap())
    }
}

#[test]
fn a_terminal_is_the_controlling_one_of_a_session_that_the_program_leads() {
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM
        echo controlled >/dev/tty; read -r _ _ _ _ group session tty foreground _ </proc/self/stat
        test $group = $$ -a $session = $$ -a $foreground = $$ -a $tty != 0 && echo leads";
    let size = Terminal {
        rows: 30,
        columns: 100,
    };
    let (text, status) = run(script, size).end();
    assert_eq!(text, "30 100\r\nxterm\r\ncontrolled\r\nleads\r\n");
    assert!(status.success());
}

#[test]
fn a_new_size_is_told_to_the_program() {
    let script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done";
    let mut client = run(script, Terminal::USUAL);
    client.wait_for("ready");
    let size = Terminal {
        rows: 40,
        columns: 120,
    };
    client.running.resize(size).unwrap().unwrap();
    let (text, status) = client.end();
    assert_eq!((text.as_str(), status.code()), ("40 120\r\n", Some(3)));
}

#[test]
fn the_end_of_input_is_typed_after_a_line_and_within_one() {
    for (typed, got) in [("", "0"), ("abc\n", "4"), ("abc", "3")] {
        let mut client = run("stty -echo; echo ready; wc -c", Terminal::USUAL);
        client.wait_for("ready");
        client.type_in(typed);
        client.stdin = None;
        let (text, status) = client.end();
        assert_eq!((text.trim(), status.code()), (got, Some(0)));
    }
}

#[test]
fn ctrl_c_interrupts_the_foreground_and_ctrl_z_stops_it() {
    let mut client = run("echo ready; exec sleep 1000", Terminal::USUAL);
    client.wait_for("ready");
    client.type_in("\x03");
    assert_eq!(client.end().1.signal(), Some(libc::SIGINT));

    let script = "set -m; sleep 1000; echo stopped; kill %1; fg; echo over";
    let mut client = run(&format!("echo ready; {script}"), Terminal::USUAL);
    client.wait_for("ready");
    client.wait_for_foreground("sleep");
    client.type_in("\x1a");
    let (text, _) = client.end();
    assert!(
        text.contains("stopped") && text.contains("over"),
        "{text:?}"
    );
}

#[test]
fn all_output_comes_although_the_program_has_ended() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done";
    let (text, status) = run(script, Terminal::USUAL).end();
    assert!(status.success());
    assert_eq!(text.len(), 2000 * 12);
}

#[test]
fn a_program_may_close_its_terminal_and_open_it_again() {
    let again = tempfile::tempdir().unwrap();
    let go_on = again.path().join("go-on");
    let script = format!(
        "exec <&- >&- 2>&-; until [ -e {} ]; do sleep 0.01; done; exec </dev/tty >/dev/tty; echo back",
        go_on.display()
    );
    let mut client = run(&script, Terminal::USUAL);
    client.wait_for_descriptors(0);
    // Once more, with nobody at the other end.
    client.serve();
    File::create(go_on).unwrap();
    let (text, status) = client.end();
    assert_eq!((text.as_str(), status.code()), ("back\r\n", Some(0)));
}

#[test]
fn limits_are_the_programs_and_what_nobody_can_have_is_refused() {
    let mut process = Process::new(["sh", "-c", "ulimit -n; ulimit -Hn"]);
    process.ulimits = ["nofile=77:99".parse().unwrap()].into();
    let mut started = start(&process).unwrap();
    let mut text = String::new();
    let mut stdout = started.child.stdout.take().unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "77\n99\n");
    process.ulimits = ["nofile=99999999999999".parse().unwrap()].into();
    let error = start(&process).unwrap_err();
    assert!(
        error.to_string().contains("no such limits: nofile="),
        "{error}"
    );
    process.ulimits.clear();
    process.user = Some("no-such-user".parse().unwrap());
    let error = start(&process).unwrap_err();
    assert_eq!(error.kind(), cki_session::FailureKind::Request);
    assert!(error.to_string().contains("no-such-user"), "{error}");
}

#[test]
fn a_terminal_that_others_still_have_ends_a_while_after_its_program() {
    let start = Instant::now();
    // It keeps the terminal, and has no job control to end it.
    let script = "trap '' HUP; sleep 100 & echo $!; exit 4";
    let (text, status) = run(script, Terminal::USUAL).end();
    assert_eq!(status.code(), Some(4));
    assert!(start.elapsed() >= Duration::from_secs(2), "{text:?}");
    let pid = text.trim().parse().unwrap();
    // SAFETY: the process is the one that this test has started.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
}

#[test]
fn a_terminal_that_others_flood_ends_however_slowly_that_is_taken() {
    let start = Instant::now();
    let script = "trap '' HUP; yes & echo $!; exit 4";
    let (text, status) = run(script, Terminal::USUAL).end();
    assert_eq!(status.code(), Some(4));
    assert!(start.elapsed() < Duration::from_secs(30));
    let pid = text
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap();
    // It may have ended by itself already: its terminal is gone.
    // SAFETY: the process is the one that this test has started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// A program of these that has ended, its output as far as it was taken: by nobody, that is what fits in a pipe.
fn ended(script: &str) -> Client {
    let mut client = serve(script, None);
    let start = Instant::now();
    while client.running.ended().is_none() {
        assert!(start.elapsed() < Duration::from_secs(30));
        let fds = client
            .running
            .interests()
            .map(|(stream, _, flags)| (stream, flags));
        for (stream, flags) in fds.collect::<Vec<_>>() {
            client.running.advance(stream, flags);
        }
        thread::sleep(Duration::from_millis(10));
        let mut status = 0;
        // SAFETY: `status` is a place for the int that waitpid writes; the program is no `Child` any more.
        let pid = unsafe { libc::waitpid(client.running.pid(), &mut status, libc::WNOHANG) };
        if pid == client.running.pid() {
            client.running.end(ExitStatus::from_raw(status));
        }
    }
    client
}

/// Somebody else holds its output.
const HELD: &str = "echo all; sleep 3 & exit 5";
/// Nobody takes its output, and somebody else holds it, too.
const NOT_TAKEN: &str = "head -c 100000 /dev/zero; sleep 3 & exit 5";
/// The same for one that a signal ends.
const KILLED: &str = "head -c 100000 /dev/zero; sleep 3 & kill -9 $$";

fn log() -> KernelLog {
    let dev = tempfile::tempdir().unwrap();
    File::create(dev.path().join("kmsg")).unwrap();
    KernelLog::open(dev.path()).unwrap()
}

#[test]
fn who_asks_for_the_end_of_what_has_ended_waits_for_no_output() {
    let term = Outcome::signaled(Signal::TERM);
    let killed = Outcome::signaled(Signal::KILL);
    // Of one that has ended well, a client that does not have all that it said is told the signal.
    for (script, told) in [
        (HELD, Outcome::Exited(5)),
        (NOT_TAKEN, term),
        (KILLED, killed),
    ] {
        let mut client = ended(script);
        assert!(!client.running.is_over(), "{script}");
        client.running.signal(Signal::WINCH).unwrap();
        assert!(!client.running.is_over(), "{script}");
        for signal in [Signal::TERM, Signal::INT] {
            client.running.signal(signal).unwrap();
            assert!(client.running.is_over(), "{script}");
            assert_eq!(client.running.outcome(&mut log()), told, "{script}");
        }
    }
}

#[test]
fn where_the_container_ends_only_output_that_is_lost_makes_a_good_end_bad() {
    let killed = Outcome::signaled(Signal::KILL);
    let mut client = ended(HELD);
    assert_eq!(client.running.cut(&mut log()), Outcome::Exited(5));
    assert_eq!(client.running.written(), (4, 0));
    let lost = ended(NOT_TAKEN).running.cut(&mut log());
    assert_eq!(lost.status().0, 125, "{lost:?}");
    assert_eq!(ended(KILLED).running.cut(&mut log()), killed);
    let mut client = serve("exec sleep 3", None);
    assert_eq!(client.running.cut(&mut log()), killed);
}
