// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole sessions with a guest that is a thread, between pipes as init of a machine makes them.

mod endings;
mod guest;
mod hypercalls;
mod processes;
mod streams;

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cki_session::{GuestMessage, Isolation, Run, decode};
use nix::fcntl::OFlag;
use nix::sys::signalfd::SignalFd;

use super::console::GuestConsole;
use super::machine::Machine;
use super::outcome::{Outcome, SessionError};
use super::session::{Io, Plan, Session};
use super::streams::{Outgoing, events};
use crate::device::Container;
use crate::device::fake::{FakeContainer, Log};
use crate::guest::layout::Place;
use crate::guest::load::map;
use crate::status::{Status, Teller};
use guest::{BASE, Guest, SIZE};

/// The test's ends of a session's streams.
struct Ends {
    stdin: Option<File>,
    stdout: File,
    stderr: File,
    log: Arc<Mutex<Log>>,
}

/// The end to read from, and the end to write to.
fn pipe() -> (File, File) {
    // A child of another test must not keep an end open.
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    (File::from(read), File::from(write))
}

fn plan() -> Plan {
    Plan {
        run: Some(Run {
            argv: vec!["echo".to_owned(), "hello".to_owned()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            hostname: "cki".to_owned(),
            container: None,
            pool_mib: None,
        }),
        timeout: None,
        start_limit: Duration::from_secs(20),
    }
}

fn session(guest: impl FnOnce(&mut Guest) + Send + 'static) -> (Session, Ends) {
    let ((stdin_there, stdin), (stdout, stdout_there), (stderr, stderr_there)) =
        (pipe(), pipe(), pipe());
    let io = Io {
        stdin: stdin_there,
        stdout: stdout_there,
        stderr: stderr_there,
    };
    let (session, log) = session_on(io, guest);
    let ends = Ends {
        stdin: Some(stdin),
        stdout,
        stderr,
        log,
    };
    (session, ends)
}

fn session_on(
    io: Io,
    guest: impl FnOnce(&mut Guest) + Send + 'static,
) -> (Session, Arc<Mutex<Log>>) {
    let container = FakeContainer::new(&[(BASE, SIZE)]);
    let log = Arc::clone(&container.log);
    let whole = Place {
        hpa: BASE,
        size: SIZE,
    };
    let map = || map(&container.memory(), &[(whole, 0)]).unwrap();
    let (memory, seen) = (map(), map());
    let vcpu = Guest::spawn(seen, &log, guest);
    let (events, inbox) = events().unwrap();
    let outgoing = Outgoing::default();
    let ports = io.ports(&events, &outgoing).unwrap();
    let console = GuestConsole::default();
    let machine = Machine::new(Arc::new(container), memory, console, ports, None, events).unwrap();
    let session = Session {
        machine: Arc::new(machine),
        vcpu: Box::new(vcpu),
        outgoing,
        inbox,
        signals: SignalFd::new(&nix::sys::signal::SigSet::empty()).unwrap(),
        io,
    };
    (session, log)
}

/// Runs a session without telling anybody.
fn run(plan: Plan, session: Session) -> Result<Outcome, SessionError> {
    let mut status = Status::default();
    let mut teller = Teller::new(&mut status, Isolation::Full, false);
    session.run(plan, || Ok(()), &mut teller)
}

/// Runs a session as `cki run --json-status-fd` does; its result and the messages.
fn run_telling(plan: Plan, session: Session) -> (Result<Outcome, SessionError>, Vec<GuestMessage>) {
    let (reader, writer) = pipe();
    let mut status = Status::from(writer);
    let mut teller = Teller::new(&mut status, Isolation::Full, false);
    let result = session.run(plan, || Ok(()), &mut teller);
    let last = match &result {
        Ok(outcome) => outcome.message(),
        Err(error) => GuestMessage::Failed {
            message: error.to_string(),
            kind: error.kind(),
        },
    };
    assert!(status.last(&last));
    let messages = messages(&rest(reader));
    let (last, others) = messages.split_last().unwrap();
    assert!(last.is_last() && !others.iter().any(GuestMessage::is_last));
    (result, messages)
}

fn messages(text: &str) -> Vec<GuestMessage> {
    let lines = text.lines().map(|line| decode(line.as_bytes()).unwrap());
    lines.collect()
}

const STARTED: GuestMessage = GuestMessage::Started {
    pid: 2,
    isolation: Isolation::Full,
};

fn rest(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}
