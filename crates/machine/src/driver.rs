// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a session from the start of QEMU to its end.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use cki_frontend::UserTerminal;
use cki_process::exec::describe;
use cki_session::{
    Event, FailureKind, Forwarding, Isolation, Outcome, ProcessId, Request, Run, Signal, encode,
    exit, printable,
};

use super::error::{MachineError, report};
use super::gate::Gate;
use super::inputs::{Input, Signals, relay_output};
use super::link::{Backing, Connected};
use super::machine::Machine;
use super::meter::Output;
use super::patience::Patience;
use super::relay::{self, Relayed};
use super::request;
use super::requests::Requests;
use super::resident::lease::Lease;
use super::terms::{Ended, Io, TimeLimit};
use super::timeline::Timeline;

/// Starts the machine, has it run `run`, and gives how that ended. The machine is gone when this returns.
///
/// `signals` gets a handle that sends signals to the program; `ready` is called once, before any output.
/// The kernel kills the machine when the calling thread ends.
///
/// # Errors
/// [`MachineError`] when it cannot be said how the program ended.
pub fn run(
    machine: &Machine,
    run: Run,
    time: TimeLimit,
    io: Io,
    signals: impl FnOnce(Signals),
    ready: impl FnOnce(),
) -> Result<Ended, MachineError> {
    let request = request::encoded(&run)?;
    std::fs::File::open(machine.app.file()).map_err(|source| MachineError::AppImage {
        path: machine.app.file().to_owned(),
        source,
    })?;
    let (events, queue) = mpsc::channel();
    signals(Signals(events.clone()));
    let mut io = io;
    let connected = Connected::own(machine, &mut io, &events)?;
    let session = Session::start(connected, io, events, run.id)?;
    session.finish(&queue, &run, request, time, ready)
}

/// As [`run`], in a place of a machine that stays up. The place is given back when this returns.
///
/// # Errors
/// [`MachineError`] when it cannot be said how the program ended.
pub fn run_in(
    lease: Lease,
    run: Run,
    time: TimeLimit,
    io: Io,
    signals: impl FnOnce(Signals),
    ready: impl FnOnce(),
) -> Result<Ended, MachineError> {
    let request = request::encoded(&run)?;
    let (events, queue) = mpsc::channel();
    signals(Signals(events.clone()));
    let connected = Connected::place(lease, &events)?;
    let session = Session::start(connected, io, events, run.id)?;
    session.finish(&queue, &run, request, time, ready)
}

struct Session {
    /// The program's, in every message.
    id: ProcessId,
    forwarding: Forwarding,
    requests: Requests,
    /// Open until the end: QEMU drops what it has not read when the socket is closed altogether.
    _stdin_port: UnixStream,
    /// What the end of our input waits for.
    program_started: Sender<()>,
    /// Init waits for us to close it, when its last word has come and all output with it.
    control: UnixStream,
    output: Output,
    link: Backing,
    /// The user's, if the program has one.
    terminal: Option<UserTerminal>,
    time: TimeLimit,
    /// For the program to start.
    patience: Patience,
    deadline: Option<Instant>,
    times: Timeline,
    kernel: Option<String>,
    isolation: Option<Isolation>,
}

impl Session {
    fn start(
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
            let mut gate = Gate::default();
            let end = relay::messages(messages, |event| {
                // Said here: nobody who reads our standard error keeps the session from signals and time.
                let refused =
                    |why: &str| tracing::warn!("the machine refused a request: {}", printable(why));
                if let Some(event) = gate.pass(event, refused) {
                    let _ = events.send(Input::Init(event));
                }
            });
            let _ = events.send(Input::ControlEnd(end));
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

    /// From the start of the program to its end.
    fn finish(
        mut self,
        queue: &Receiver<Input>,
        run: &Run,
        request: Vec<u8>,
        time: TimeLimit,
        ready: impl FnOnce(),
    ) -> Result<Ended, MachineError> {
        self.time = time;
        let result = self.drive(queue, run, request, ready);
        // Whatever happened above, nothing stays behind.
        self.kill();
        result
    }

    fn drive(
        &mut self,
        queue: &Receiver<Input>,
        run: &Run,
        mut request: Vec<u8>,
        ready: impl FnOnce(),
    ) -> Result<Ended, MachineError> {
        let mut ready = Some(ready);
        let (mut last, mut status, mut timed_out) = (None, None, false);
        // Control, standard output, standard error: what init said comes to an end before QEMU's status counts.
        let mut open = 3;
        let (mut announced, mut ending, mut killed, mut seen) = (false, false, false, 0);
        loop {
            if open == 0 && (status.is_some() || ending && self.link.stays()) {
                self.times.end = Instant::now();
                return self.conclude(last, status.flatten(), timed_out);
            }
            if last.is_some() && !ending && self.output.is_complete() {
                ending = true;
                let settles = self.deadline.filter(|_| timed_out);
                self.deadline = settles.or(self.link.is_over());
                // It fails when the machine is gone, which its own event tells.
                let _ = self.control.shutdown(Shutdown::Both);
            }
            let event = match self.next(queue) {
                Some(event) => event,
                None if ending && !timed_out => {
                    self.kill();
                    return Err(self.crash("did not end after the program had".to_owned()));
                }
                // Whoever reads the output may take the time that it likes; the emulator may not.
                None if last.is_some() && !timed_out => {
                    let now = self.output.relayed();
                    if !self.output.is_read_slowly() && now == std::mem::replace(&mut seen, now) {
                        self.kill();
                        let how = "gave less output than its init had announced";
                        return Err(self.crash(how.to_owned()));
                    }
                    self.deadline = Some(Instant::now() + Backing::END_LIMIT);
                    continue;
                }
                None if self.times.started.is_none() => {
                    if !self.patience.is_over() {
                        self.deadline = Some(self.patience.deadline());
                        continue;
                    }
                    self.kill();
                    return Err(self.crash(self.patience.describe()));
                }
                None if killed || last.is_some() => {
                    self.kill();
                    return Ok(self.ended(Outcome::TimedOut));
                }
                None if timed_out => {
                    killed = true;
                    self.kill();
                    // What it had written by now is still on its way.
                    self.deadline = Some(Instant::now() + Backing::SETTLE_LIMIT);
                    continue;
                }
                None => {
                    timed_out = true;
                    self.signal(self.time.signal);
                    self.deadline = Instant::now().checked_add(self.time.grace);
                    continue;
                }
            };
            match event {
                // A place has had other programs: nothing is of ours before a hello, or after another.
                Input::Init(event)
                    if self.link.stays()
                        && matches!(event, Event::Hello(_)) == self.times.hello.is_some() =>
                {
                    return Err(self.crash("has given up the program's place".to_owned()));
                }
                Input::Init(Event::Hello(hello)) => {
                    self.times.hello = Some(Instant::now());
                    request::check(&hello, run)?;
                    if let Some(ready) = ready.take() {
                        ready();
                        let asked = std::mem::take(&mut request);
                        self.requests.send([request::clock(&hello), asked].concat());
                    }
                    self.kernel = Some(hello.kernel);
                }
                // Once: whoever says it again does not get the time again.
                Input::Init(Event::Started { isolation, .. }) if self.times.started.is_none() => {
                    let now = Instant::now();
                    self.isolation = Some(isolation);
                    self.times.started = Some(now);
                    let _ = self.program_started.send(());
                    self.deadline = self.time.limit.and_then(|limit| now.checked_add(limit));
                    self.go_raw();
                }
                Input::Init(Event::Output { stdout, stderr, .. }) if last.is_none() => {
                    announced = true;
                    self.output.expect(stdout, stderr);
                }
                Input::Init(Event::Ended { outcome, .. }) if last.is_none() => {
                    self.times.started.get_or_insert_with(Instant::now);
                    last = Some(outcome);
                    // A program that was not started has written nothing.
                    if !announced {
                        self.output.expect(0, 0);
                    }
                    // The limit is the program's, not that of whoever reads its output.
                    seen = self.output.relayed();
                    let limit = match timed_out {
                        false => Backing::END_LIMIT,
                        true => Backing::SETTLE_LIMIT,
                    };
                    self.deadline = Some(Instant::now() + limit);
                }
                Input::Init(_) | Input::Complete => {}
                Input::ControlEnd(Ok(()))
                | Input::Stdout(Relayed::End)
                | Input::Stderr(Relayed::End | Relayed::BrokenPipe) => {
                    open -= 1;
                }
                Input::ControlEnd(Err(breach)) => return Err(MachineError::Protocol(breach)),
                Input::First(at) => {
                    self.times.first_byte =
                        Some(self.times.first_byte.map_or(at, |other| other.min(at)));
                }
                Input::Stdout(Relayed::BrokenPipe) => {
                    self.kill();
                    return Ok(self.ended(Outcome::signaled(Signal::PIPE)));
                }
                Input::Stdout(Relayed::Failed(source)) => {
                    return Err(MachineError::Output {
                        stream: "standard output",
                        source,
                    });
                }
                Input::Stderr(Relayed::Failed(source)) => {
                    return Err(MachineError::Output {
                        stream: "standard error",
                        source,
                    });
                }
                Input::Gone(ended) => {
                    self.deadline = self.deadline.filter(|_| timed_out);
                    status = Some(ended);
                }
                Input::Signal(signal) => {
                    let started = self.times.has_begun();
                    let ends = self.forwarding.ends(signal, Instant::now(), started);
                    // Once the program has ended, what is left is to wait for its output.
                    if ends || last.is_some() && signal.is_ending() {
                        self.kill();
                        let by = Outcome::signaled(signal);
                        let cut = last.map(|last| last.cut_by(by.clone()));
                        return Ok(self.ended(cut.unwrap_or(by)));
                    }
                    if self.is_the_terminals(signal) {
                        continue;
                    }
                    let message = self.signal_message(signal);
                    if request.is_empty() {
                        self.requests.send(message);
                    } else {
                        request.extend(message);
                    }
                    if signal == Signal::TSTP {
                        stop_ourselves();
                    }
                }
            }
        }
    }

    /// The next event, or `None` when the deadline has passed.
    fn next(&self, queue: &Receiver<Input>) -> Option<Input> {
        match self.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                queue.recv_timeout(left).ok()
            }
            None => queue.recv().ok(),
        }
    }

    fn conclude(
        &mut self,
        last: Option<Outcome>,
        status: Option<ExitStatus>,
        timed_out: bool,
    ) -> Result<Ended, MachineError> {
        if timed_out {
            return Ok(self.ended(Outcome::TimedOut));
        }
        match last {
            Some(outcome) if self.link.stays() => Ok(self.ended(outcome)),
            Some(outcome)
                if status.and_then(|status| status.code()) == Some(exit::STATUS_ENDED) =>
            {
                let outcome = self.with_console(outcome);
                Ok(self.ended(outcome))
            }
            Some(_) => Err(self.crash(format!(
                "{} after the program had ended, so its output may be incomplete",
                describe_end(status)
            ))),
            None => {
                let when = match (self.times.hello, self.times.started) {
                    (None, _) => "before its init was up",
                    (_, None) => "before the program was started",
                    _ => "while the program was running",
                };
                Err(self.crash(format!("{} {when}", describe_end(status))))
            }
        }
    }

    /// A failure that is the machine's own, with what its kernel printed.
    fn with_console(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(mut failure) if failure.kind == FailureKind::Internal => {
                failure.message += &report(&self.link.logs().0, "");
                Outcome::Failed(failure)
            }
            outcome => outcome,
        }
    }

    fn ended(&self, outcome: Outcome) -> Ended {
        Ended {
            outcome,
            times: self.times,
            kernel: self.kernel.clone(),
            isolation: self.isolation,
        }
    }

    fn crash(&mut self, how: String) -> MachineError {
        let (console, qemu) = self.link.logs();
        MachineError::Crashed { how, console, qemu }
    }

    /// From now on all keys are the program's.
    fn go_raw(&mut self) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        terminal.enter();
        let (id, terminal) = (self.id, terminal.size());
        // It may have changed since the request was made.
        let message = encode(&Request::Resize { id, terminal });
        self.requests.send(message.unwrap_or_default());
    }

    /// Whether a signal is about the user's terminal, and not about a program that has one of its own; it is
    /// obeyed then.
    fn is_the_terminals(&mut self, signal: Signal) -> bool {
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

    fn signal(&mut self, signal: Signal) {
        self.requests.send(self.signal_message(signal));
    }

    /// A line of a few bytes, far below the limit.
    fn signal_message(&self, signal: Signal) -> Vec<u8> {
        let id = self.id;
        encode(&Request::Signal { id, signal }).unwrap_or_default()
    }

    fn kill(&mut self) {
        self.link.end();
        self.times.end = Instant::now();
    }
}

/// How the machine has gone.
fn describe_end(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "has gone".to_owned(), describe)
}

/// What Ctrl-Z does to a program; its shell continues us with SIGCONT, which is the program's too.
fn stop_ourselves() {
    let us = rustix::process::getpid();
    if let Err(error) = rustix::process::kill_process(us, rustix::process::Signal::STOP) {
        tracing::debug!(%error, "stopping");
    }
}
