// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: its ports and the threads that relay them, and what is done to it.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use cki_frontend::UserTerminal;
use cki_session::gate::Gate;
use cki_session::{
    Event, FailureKind, Forwarding, Isolation, Outcome, ProcessId, Request, Signal, printable,
};

use super::error::{MachineError, report};
use super::inputs::{Input, relay_output};
use super::link::{Backing, Connected};
use super::meter::Output;
use super::patience::Patience;
use super::relay;
use super::requests::Requests;
use super::terms::{Ended, Io, TimeLimit};
use super::timeline::Timeline;

/// A session, from its ports to what is known of it.
pub(crate) struct Session {
    /// The program's, in every message.
    pub(super) id: ProcessId,
    pub(super) forwarding: Forwarding,
    pub(super) requests: Requests,
    /// Open until the end: QEMU drops what it has not read when the socket is closed altogether.
    _stdin_port: UnixStream,
    /// What the end of our input waits for.
    pub(super) program_started: Sender<()>,
    /// Init waits for us to close it, when its last word has come and all output with it.
    pub(super) control: UnixStream,
    pub(super) output: Output,
    pub(super) link: Backing,
    /// The user's, if the program has one.
    pub(super) terminal: Option<UserTerminal>,
    pub(super) time: TimeLimit,
    /// For the program to start.
    pub(super) patience: Patience,
    pub(super) deadline: Option<Instant>,
    pub(super) times: Timeline,
    pub(super) kernel: Option<String>,
    pub(super) isolation: Option<Isolation>,
}

/// Tells a session that nothing more is heard from the machine, however the thread that listens ends: the session would
/// wait for it without end.
struct ToldAtLast(Sender<Input>, Option<Result<(), String>>);

impl Drop for ToldAtLast {
    fn drop(&mut self) {
        let failed = || Err("the thread that listens to it has failed".to_owned());
        let end = self.1.take().unwrap_or_else(failed);
        let _ = self.0.send(Input::ControlEnd(end));
    }
}

impl Session {
    pub(super) fn start(
        connected: Connected,
        io: Io,
        events: Sender<Input>,
        id: ProcessId,
    ) -> Result<Self, MachineError> {
        let Connected {
            link,
            ports,
            patience,
            start,
        } = connected;
        let control = ports.control.try_clone().map_err(MachineError::Sockets)?;
        let (mut stdin, to_guest) = (io.stdin, ports.stdin);
        let stdin_port = to_guest.try_clone().map_err(MachineError::Sockets)?;
        let (program_started, started) = mpsc::channel();
        thread::spawn(move || relay::input(&mut *stdin, to_guest, &started));
        let output = Output::default();
        relay_output(
            ports.stdout,
            io.stdout,
            events.clone(),
            output.stdout.clone(),
            true,
        );
        relay_output(
            ports.stderr,
            io.stderr,
            events.clone(),
            output.stderr.clone(),
            false,
        );
        let messages = ports.control.try_clone().map_err(MachineError::Sockets)?;
        thread::spawn(move || {
            let mut gate = Gate::for_machine();
            let mut told = ToldAtLast(events.clone(), None);
            let end = relay::messages(messages, |event| {
                // Said here: nobody who reads our standard error keeps the session from signals and time.
                match gate.pass(event) {
                    Some(Event::Refused { message }) => {
                        tracing::warn!("the machine refused a request: {}", printable(&message));
                    }
                    Some(event) => {
                        let _ = events.send(Input::Init(event));
                    }
                    None => {}
                }
            });
            told.1 = Some(end);
        });
        Ok(Self {
            id,
            forwarding: Forwarding::new(),
            requests: Requests::new(control),
            _stdin_port: stdin_port,
            program_started,
            control: ports.control,
            output,
            link,
            time: TimeLimit::NONE,
            terminal: io.terminal,
            deadline: Some(patience.deadline()),
            patience,
            times: Timeline {
                start,
                hello: None,
                started: None,
                first_byte: None,
                end: start,
            },
            kernel: None,
            isolation: None,
        })
    }

    /// The next event, or `None` when the deadline has passed.
    pub(super) fn next(&self, queue: &Receiver<Input>) -> Option<Input> {
        match self.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                queue.recv_timeout(left).ok()
            }
            None => queue.recv().ok(),
        }
    }

    /// A failure that is the machine's own, with what its kernel printed.
    pub(super) fn with_console(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(mut failure) if failure.kind == FailureKind::Internal => {
                failure.message += &report(&self.link.logs().0, "");
                Outcome::Failed(failure)
            }
            outcome => outcome,
        }
    }

    pub(super) fn ended(&self, outcome: Outcome) -> Ended {
        Ended {
            outcome,
            times: self.times,
            kernel: self.kernel.clone(),
            isolation: self.isolation,
        }
    }

    pub(super) fn crash(&mut self, how: String) -> MachineError {
        let (console, qemu) = self.link.logs();
        MachineError::Crashed { how, console, qemu }
    }

    /// From now on all keys are the program's.
    pub(super) fn go_raw(&mut self) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        terminal.enter();
        let (id, terminal) = (self.id, terminal.size());
        // It may have changed since the request was made.
        self.requests.send(&Request::Resize { id, terminal });
    }

    /// Whether a signal is about the user's terminal, and not about a program that has one of its own; it is
    /// obeyed then.
    pub(super) fn is_the_terminals(&mut self, signal: Signal) -> bool {
        let Some(terminal) = &mut self.terminal else {
            return false;
        };
        if ![Signal::TSTP, Signal::CONT, Signal::WINCH].contains(&signal) {
            return false;
        }
        if signal == Signal::TSTP {
            terminal.leave();
            stop_ourselves();
        }
        if self.times.started.is_some() {
            self.go_raw();
        }
        true
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        let id = self.id;
        self.requests.send(&Request::Signal { id, signal });
    }

    pub(super) fn kill(&mut self) {
        self.link.end();
        self.times.end = Instant::now();
    }
}

/// What Ctrl-Z does to a program; its shell continues us with SIGCONT, which is the program's too.
pub(super) fn stop_ourselves() {
    let us = rustix::process::getpid();
    if let Err(error) = rustix::process::kill_process(us, rustix::process::Signal::STOP) {
        tracing::debug!(%error, "stopping");
    }
}
