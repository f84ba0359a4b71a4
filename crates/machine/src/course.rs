// SPDX-License-Identifier: MIT OR Apache-2.0

//! The course of a session: what each thing that it is told, and each deadline that passes, does to it.

use std::net::Shutdown;
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use cki_process::exec::describe;
use cki_session::{Event, Outcome, Outgoing, Request, Run, Signal, exit};

use super::error::MachineError;
use super::inputs::Input;
use super::link::Backing;
use super::relay::Relayed;
use super::request;
use super::requests;
use super::session::{Session, stop_ourselves};
use super::terms::{Ended, TimeLimit};

/// How long we wait before we stop ourselves, so that a program hears of it; a machine that reads takes no time.
const STOP_WAITS: Duration = Duration::from_secs(1);

/// Where a session is between the start of its machine and its end.
pub(crate) struct Course<'a, R> {
    session: Session,
    run: &'a Run,
    /// What its init is asked for once it is up; nothing once it is asked.
    asked_first: Option<Outgoing>,
    /// Called once, before any output.
    ready: Option<R>,
    end: End,
    time: Time,
    /// That the machine has gone; with the emulator's status, if it was ours.
    status: Option<Option<ExitStatus>>,
    /// Control, standard output, standard error: what init said comes to an end before QEMU's status counts.
    open: i32,
    /// Output that was relayed when the emulator was last held to give more.
    seen: u64,
}

/// What is known of the program's end.
enum End {
    /// Nothing.
    Unknown {
        /// Whether init has said how much output there is.
        announced: bool,
    },
    /// Nothing, and nothing more is heard of init.
    CutOff,
    /// How it ended; not all of its output has come.
    Told(Outcome),
    /// How it ended; there is nothing more to come but the machine's end.
    Complete(Outcome),
}

impl End {
    /// How the program ended, once that is known.
    fn outcome(&self) -> Option<&Outcome> {
        match self {
            End::Unknown { .. } | End::CutOff => None,
            End::Told(outcome) | End::Complete(outcome) => Some(outcome),
        }
    }
}

/// What has become of the program's time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    /// It has some.
    Left,
    /// It is over, and the program was told.
    Over,
    /// It is over, and the machine was ended for that.
    Killed,
}

impl<'a, R: FnOnce()> Course<'a, R> {
    /// Of a session that has its ports, and whose init has said nothing yet.
    pub(super) fn new(
        mut session: Session,
        run: &'a Run,
        request: Outgoing,
        time: TimeLimit,
        ready: R,
    ) -> Self {
        session.time = time;
        Course {
            session,
            run,
            asked_first: Some(request),
            ready: Some(ready),
            end: End::Unknown { announced: false },
            time: Time::Left,
            status: None,
            open: 3,
            seen: 0,
        }
    }

    /// From the start of the program to its end.
    pub(super) fn finish(mut self, queue: &Receiver<Input>) -> Result<Ended, MachineError> {
        let result = self.drive(queue);
        // Whatever happened above, nothing stays behind.
        self.session.kill();
        result
    }

    fn drive(&mut self, queue: &Receiver<Input>) -> Result<Ended, MachineError> {
        loop {
            if self.is_over() {
                return self.conclude();
            }
            self.let_it_end();
            let ended = match self.session.next(queue) {
                Some(input) => self.hear(input)?,
                None => self.pass_deadline()?,
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Whether nothing more can come.
    fn is_over(&self) -> bool {
        let is_complete = matches!(self.end, End::Complete(_));
        let gone = self.status.is_some() || is_complete && self.session.link.stays();
        self.open == 0 && gone
    }

    /// Once the program has ended and all of its output is here, tells init, which waits for that.
    fn let_it_end(&mut self) {
        let session = &mut self.session;
        let End::Told(outcome) = &self.end else {
            return;
        };
        if !session.output.is_complete() {
            return;
        }
        self.end = End::Complete(outcome.clone());
        let settles = session.deadline.filter(|_| self.time != Time::Left);
        session.deadline = settles.or(session.link.is_over());
        // It fails when the machine is gone, which its own event tells.
        let _ = session.control.shutdown(Shutdown::Both);
    }

    /// What the deadline does that has passed; the end, if that is one.
    fn pass_deadline(&mut self) -> Result<Option<Ended>, MachineError> {
        let session = &mut self.session;
        match (&self.end, self.time) {
            (End::CutOff, _) => {
                session.kill();
                Err(session.crash("says nothing more, and does not end".to_owned()))
            }
            (End::Complete(_), Time::Left) => {
                session.kill();
                Err(session.crash("did not end after the program had".to_owned()))
            }
            // Whoever reads the output may take the time that it likes; the emulator may not.
            (End::Told(_), Time::Left) => {
                let now = session.output.relayed();
                let seen = std::mem::replace(&mut self.seen, now);
                if !session.output.is_read_slowly() && now == seen {
                    session.kill();
                    let how = "gave less output than its init had announced";
                    return Err(session.crash(how.to_owned()));
                }
                session.deadline = Some(Instant::now() + Backing::END_LIMIT);
                Ok(None)
            }
            (End::Unknown { .. }, Time::Left) if session.times.started.is_none() => {
                if session.patience.is_over() {
                    session.kill();
                    let how = session.patience.describe();
                    return Err(session.crash(how));
                }
                session.deadline = Some(session.patience.deadline());
                Ok(None)
            }
            (End::Unknown { .. }, Time::Left) => {
                self.time = Time::Over;
                session.signal(session.time.signal);
                session.deadline = Instant::now().checked_add(session.time.grace);
                Ok(None)
            }
            (End::Unknown { .. }, Time::Over) => {
                self.time = Time::Killed;
                session.kill();
                // What it had written by now is still on its way.
                session.deadline = Some(Instant::now() + Backing::SETTLE_LIMIT);
                Ok(None)
            }
            (End::Unknown { .. }, Time::Killed)
            | (End::Told(_) | End::Complete(_), Time::Over | Time::Killed) => {
                session.kill();
                Ok(Some(session.ended(Outcome::TimedOut)))
            }
        }
    }

    /// What the session is told does to it; the end, if that is one.
    fn hear(&mut self, input: Input) -> Result<Option<Ended>, MachineError> {
        let session = &mut self.session;
        let failed = |stream, source| Err(MachineError::Output { stream, source });
        match input {
            Input::Init(event) => self.hear_init(event)?,
            Input::Complete => {}
            Input::ControlEnd(Ok(())) => {
                self.open -= 1;
                // The emulator's end comes next, if that is why; a machine that stays up has none.
                let is_unknown = matches!(self.end, End::Unknown { .. });
                if is_unknown && self.status.is_none() && self.time == Time::Left {
                    self.end = End::CutOff;
                    let limit = Instant::now() + Backing::SETTLE_LIMIT;
                    session.deadline = Some(session.deadline.map_or(limit, |at| at.min(limit)));
                }
            }
            Input::Stdout(Relayed::End) | Input::Stderr(Relayed::End | Relayed::BrokenPipe) => {
                self.open -= 1
            }
            Input::ControlEnd(Err(breach)) => return Err(MachineError::Protocol(breach)),
            Input::First(at) => {
                let first = session.times.first_byte;
                session.times.first_byte = Some(first.map_or(at, |other| other.min(at)));
            }
            Input::Stdout(Relayed::BrokenPipe) => {
                session.kill();
                return Ok(Some(session.ended(Outcome::signaled(Signal::PIPE))));
            }
            Input::Stdout(Relayed::Failed(source)) => return failed("standard output", source),
            Input::Stderr(Relayed::Failed(source)) => return failed("standard error", source),
            Input::Gone(status) => {
                session.deadline = session.deadline.filter(|_| self.time != Time::Left);
                self.status = Some(status);
            }
            Input::Signal(signal) => return Ok(self.hear_signal(signal)),
        }
        Ok(None)
    }

    /// What init says.
    fn hear_init(&mut self, event: Event) -> Result<(), MachineError> {
        let session = &mut self.session;
        // A place has had other programs: nothing is of ours before a hello, or after another.
        let is_hello = matches!(event, Event::Hello(_));
        if session.link.stays() && is_hello == session.times.hello.is_some() {
            return Err(session.crash("has given up the program's place".to_owned()));
        }
        match event {
            Event::Hello(hello) => {
                session.times.hello = Some(Instant::now());
                hello.accepts(self.run).map_err(|mismatch| {
                    let stays = session.link.stays();
                    MachineError::Mismatch { mismatch, stays }
                })?;
                if let (Some(ready), Some(asked)) = (self.ready.take(), self.asked_first.take()) {
                    ready();
                    if let Some(clock) = request::clock(&hello) {
                        session.requests.send(&clock);
                    }
                    session.requests.append(asked);
                }
                session.kernel = Some(hello.kernel);
            }
            // Once: whoever says it again does not get the time again.
            Event::Started { isolation, .. } if session.times.started.is_none() => {
                let now = Instant::now();
                session.isolation = Some(isolation);
                session.times.started = Some(now);
                let _ = session.program_started.send(());
                let limit = session.time.limit;
                session.deadline = limit.and_then(|limit| now.checked_add(limit));
                session.go_raw();
            }
            Event::Output { stdout, stderr, .. } => {
                if let End::Unknown { announced } = &mut self.end {
                    *announced = true;
                    session.output.expect(stdout, stderr);
                }
            }
            Event::Ended { outcome, .. } => {
                let End::Unknown { announced } = self.end else {
                    return Ok(());
                };
                session.times.started.get_or_insert_with(Instant::now);
                self.end = End::Told(outcome);
                // A program that was not started has written nothing.
                if !announced {
                    session.output.expect(0, 0);
                }
                // The limit is the program's, not that of whoever reads its output.
                self.seen = session.output.relayed();
                let limit = match self.time {
                    Time::Left => Backing::END_LIMIT,
                    Time::Over | Time::Killed => Backing::SETTLE_LIMIT,
                };
                session.deadline = Some(Instant::now() + limit);
            }
            _ => {}
        }
        Ok(())
    }

    /// A signal to us; the end, if it is one.
    fn hear_signal(&mut self, signal: Signal) -> Option<Ended> {
        let session = &mut self.session;
        let started = session.times.has_begun();
        let ends = session.forwarding.ends(signal, Instant::now(), started);
        // Once the program has ended, what is left is to wait for its output.
        let last = self.end.outcome();
        if ends || last.is_some() && signal.is_ending() {
            session.kill();
            let by = Outcome::signaled(signal);
            let outcome = match last {
                Some(last) => last.cut_by(by),
                None => by,
            };
            return Some(session.ended(outcome));
        }
        if session.is_the_terminals(signal) {
            return None;
        }
        let id = session.id;
        match &mut self.asked_first {
            Some(asked) => match asked.push(&Request::Signal { id, signal }) {
                Ok(()) => {}
                Err(error) => requests::warn_of(&error),
            },
            None => session.signal(signal),
        }
        if signal == Signal::TSTP {
            // The thread that writes stops, too.
            if !session.requests.are_written(STOP_WAITS) {
                tracing::debug!("stopping before the program was told");
            }
            stop_ourselves();
        }
        None
    }

    /// How it ended, from what its init and the emulator have said.
    fn conclude(&mut self) -> Result<Ended, MachineError> {
        let session = &mut self.session;
        session.times.end = Instant::now();
        if self.time != Time::Left {
            return Ok(session.ended(Outcome::TimedOut));
        }
        let status = self.status.flatten();
        match self.end.outcome().cloned() {
            Some(outcome) if session.link.stays() => Ok(session.ended(outcome)),
            Some(outcome)
                if status.and_then(|status| status.code()) == Some(exit::STATUS_ENDED) =>
            {
                let outcome = session.with_console(outcome);
                Ok(session.ended(outcome))
            }
            Some(_) => Err(session.crash(format!(
                "{} after the program had ended, so its output may be incomplete",
                describe_end(status)
            ))),
            None => {
                let when = match (session.times.hello, session.times.started) {
                    (None, _) => "before its init was up",
                    (_, None) => "before the program was started",
                    _ => "while the program was running",
                };
                Err(session.crash(format!("{} {when}", describe_end(status))))
            }
        }
    }
}

/// How the machine has gone.
fn describe_end(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "has gone".to_owned(), describe)
}
