// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole sessions with a guest that is a thread, between pipes as init of a machine makes them.

mod client;
mod endings;
mod guest;
mod hypercalls;
mod processes;
mod streams;

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cki_session::{Event, Isolation, Outcome, ProcessId, Run, Signal};

use super::Session;
use super::client::{Client, Wish};
use super::control::{Inbox, Requests};
use super::error::ContainerError;
use super::plan::Plan;
use super::streams::Streams;
use crate::guest::layout::Extent;
use crate::guest::load::map;
use crate::jail::Duty;
use crate::module::Container;
use crate::module::fake::{FakeContainer, Log};
use crate::testing::pipe;
use crate::virtio::testing::Scripted;
use crate::vm::Waker;
use crate::vm::outside::Outside;
use crate::vm::table::Table;
use guest::{BASE, Guest, SIZE};

/// The test's ends of a session's streams.
struct Ends {
    stdin: Option<File>,
    stdout: File,
    stderr: File,
    log: Arc<Mutex<Log>>,
}

fn plan() -> Plan {
    Plan {
        run: Some(Run::new(["echo", "hello"])),
        isolation: Isolation::Full,
        timeout: None,
        stop: (Signal::TERM, Duration::from_secs(2)),
        start_timeout: Duration::from_secs(20),
    }
}

fn session(guest: impl FnOnce(&mut Guest) + Send + 'static) -> (Session, Ends) {
    session_with(None, guest)
}

/// A session, with a device in slot 1 if there is one.
fn session_with(
    device: Option<Scripted>,
    guest: impl FnOnce(&mut Guest) + Send + 'static,
) -> (Session, Ends) {
    let ((stdin_there, stdin), (stdout, stdout_there), (stderr, stderr_there)) =
        (pipe(), pipe(), pipe());
    let streams = Streams {
        stdin: stdin_there,
        stdout: stdout_there,
        stderr: stderr_there,
    };
    let (session, log) = session_on(streams, None, device, guest);
    let ends = Ends {
        stdin: Some(stdin),
        stdout,
        stderr,
        log,
    };
    (session, ends)
}

fn session_on(
    streams: Streams,
    copy: Option<File>,
    device: Option<Scripted>,
    guest: impl FnOnce(&mut Guest) + Send + 'static,
) -> (Session, Arc<Mutex<Log>>) {
    let container = FakeContainer::new(&[(BASE, SIZE)]);
    let log = Arc::clone(&container.log);
    let whole = Extent {
        hpa: BASE,
        size: SIZE,
    };
    let map = || map(&container.memory(), &[(whole, 0)]).unwrap();
    let (memory, seen) = (map(), map());
    let vcpu = Guest::spawn(seen, &log, guest);
    let waker = Waker::new().unwrap();
    let (inbox, requests) = (Inbox::new(waker.clone()), Requests::default());
    let ports = streams.ports(&inbox, &requests, &Arc::default()).unwrap();
    let mut devices = Table::new(ports).unwrap();
    if let Some(device) = device {
        devices.add(device, Duty::Disk).unwrap();
    }
    let outside = Outside::new(Arc::new(container), memory, copy, devices, waker);
    let session = Session {
        outside: Arc::new(outside),
        vcpu: Box::new(vcpu),
        requests,
        inbox,
        streams,
        observer: None,
    };
    (session, log)
}

/// A client that wants nothing and keeps what it is told.
struct Silent {
    /// Open at both ends, and silent.
    line: (File, File),
    told: Vec<Event>,
}

impl Silent {
    fn new() -> Self {
        Silent {
            line: pipe(),
            told: Vec::new(),
        }
    }
}

impl Client for Silent {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.line.0.as_fd()
    }
    fn wishes(&mut self, _started: bool) -> Vec<Wish> {
        Vec::new()
    }
    fn up(&mut self, _isolation: Isolation) {}
    fn tell(&mut self, event: &Event) {
        self.told.push(event.clone());
    }
}

/// Has the session wait, once init is up, until the guest's thread has said that all of what it does is there; then it
/// has this wish for as long as there is a program.
struct Late {
    silent: Silent,
    is_up: bool,
    there: Receiver<()>,
    wish: Option<Outcome>,
}

impl Late {
    fn new(wish: Option<Outcome>) -> (Self, Sender<()>) {
        let (send, there) = channel();
        let mut silent = Silent::new();
        // It wants something from the start.
        silent.line.1.write_all(b"x").unwrap();
        let late = Late {
            silent,
            is_up: false,
            there,
            wish,
        };
        (late, send)
    }
}

impl Client for Late {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.silent.descriptor()
    }
    fn wishes(&mut self, started: bool) -> Vec<Wish> {
        if self.is_up {
            // It is said once; later the thread may have gone.
            let _ = self.there.recv();
        }
        let wish = self.wish.clone().filter(|_| started);
        wish.into_iter().map(Wish::End).collect()
    }
    fn up(&mut self, _isolation: Isolation) {
        self.is_up = true;
    }
    fn tell(&mut self, event: &Event) {
        self.silent.tell(event);
    }
}

/// Runs a session for a client that wants nothing.
fn run(plan: Plan, session: Session) -> Result<Outcome, ContainerError> {
    session.run(plan, |_| Ok(()), &mut Silent::new())
}

const STARTED: Event = Event::Started {
    id: ProcessId::MAIN,
    pid: 2,
    isolation: Isolation::Full,
};

fn rest(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}
