// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sessions in a process of their own: under the filter, which stays, and killed.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::ExitStatusExt;

use cki_session::{GuestMessage, Isolation};

use super::{STARTED, SessionError, messages, plan, session};
use crate::run::seccomp;
use crate::status::{Status, Teller};
use crate::testing::{child, role};

/// The messages that a child wrote between the words of its test harness.
fn said(text: &str) -> Vec<GuestMessage> {
    let message = |line: &'_ str| line.find('{').map(|at| line[at..].to_owned());
    let lines: Vec<_> = text.lines().filter_map(message).collect();
    messages(&lines.join("\n"))
}

#[test]
fn a_whole_session_runs_under_the_filter_and_other_calls_kill_it() {
    const NAME: &str =
        "run::tests::processes::a_whole_session_runs_under_the_filter_and_other_calls_kill_it";
    if let Some(role) = role(NAME) {
        confined(&role);
    }
    let whole = child(NAME, "session").output().unwrap();
    assert_eq!(whole.status.code(), Some(44));
    let last = GuestMessage::Exited { status: 44 };
    assert_eq!(
        said(&String::from_utf8_lossy(&whole.stdout)),
        [STARTED, last]
    );
    for forbidden in ["open", "ioctl", "exec-memory", "socket"] {
        let status = child(NAME, forbidden).output().unwrap().status;
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{forbidden}: {status}");
    }
}

/// The child: a session under the filter, then what it was asked to try.
fn confined(role: &str) -> ! {
    let (session, mut ends) = session(|guest| {
        guest.print("booting\n");
        guest.start();
        let text = guest.receive(6);
        guest.send(9, &text);
        guest.say(&GuestMessage::Exited { status: 44 });
    });
    ends.stdin.take().unwrap().write_all(b"input").unwrap();
    let confine = || {
        seccomp::apply().map_err(|error| SessionError::Host {
            what: "seccomp",
            source: std::io::Error::other(error),
        })
    };
    let mut status = Status::open(Some(1)).unwrap();
    let mut teller = Teller::new(&mut status, Isolation::Full, false);
    let outcome = session.run(plan(), confine, &mut teller).unwrap();
    assert!(status.last(&outcome.message()));
    match role {
        "session" => {}
        "open" => drop(std::fs::File::open("/dev/null")),
        "ioctl" => {
            let _ = std::io::stdin().is_terminal();
        }
        "exec-memory" => drop(vm_memory::MmapRegion::<()>::build(
            None,
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        )),
        _ => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
    }
    std::process::exit(outcome.status().into());
}

#[test]
fn a_killed_launcher_closes_everything_and_says_no_last_message() {
    const NAME: &str =
        "run::tests::processes::a_killed_launcher_closes_everything_and_says_no_last_message";
    if role(NAME).is_some() {
        let (session, _ends) = session(|guest| {
            guest.start();
            loop {
                std::thread::park();
            }
        });
        let mut status = Status::open(Some(1)).unwrap();
        let mut teller = Teller::new(&mut status, Isolation::Full, false);
        let result = session.run(plan(), || Ok(()), &mut teller);
        panic!("{result:?}");
    }
    let mut launcher = child(NAME, "launcher").spawn().unwrap();
    let mut output = BufReader::new(launcher.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("started") {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
    }
    launcher.kill().unwrap();
    // The end of the file: no process of the launcher's is left.
    output.read_to_string(&mut text).unwrap();
    assert_eq!(said(&text), [STARTED]);
    assert_eq!(launcher.wait().unwrap().signal(), Some(libc::SIGKILL));
}
