// SPDX-License-Identifier: MIT OR Apache-2.0

//! The course of a session: what each thing that it is told, and each deadline that passes, does to it.

use std::net::Shutdown;
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use cki_process::exec::describe;
use cki_session::{Event, Outcome, Run, Signal, exit};

use super::error::MachineError;
use super::inputs::Input;
use super::link::Backing;
use super::relay::Relayed;
use super::request;
use super::session::{Session, stop_ourselves};
use super::terms::{Ended, TimeLimit};

/// How long we wait before we stop ourselves, so that a program hears of it; a machine that reads takes no time.
const STOP_WAITS: Duration = Duration::from_secs(1);

/// Where a session is between the start of its machine and its end.
pub(crate) struct Course<'a, R> {
    session: Session,
    run: &'a Run,
    /// What its init is asked for; empty once it is asked.
    request: Vec<u8>,
    /// Called once, before any output.
    ready: Option<R>,
    /// How the program ended.
    last: Option<Outcome>,
    /// That the machine has gone; with the emulator's status, if it was ours.
    status: Option<Option<ExitStatus>>,
    /// Control, standard output, standard error: what init said comes to an end before QEMU's status counts.
    open: i32,
    /// Whether init has said how much output there is.
    announced: bool,
    /// Whether there is nothing more to come but the machine's end.
    ending: bool,
    /// Whether the program's time is over; then whether its machine was ended for that.
    timed_out: bool,
    killed: bool,
    /// Nothing more is heard of init, which has not said how the program ended.
    is_cut_off: bool,
    /// Output that was relayed when the emulator was last held to give more.
    seen: u64,
}

impl<'a, R: FnOnce()> Course<'a, R> {
    /// Of a session that has its ports, and whose init has said nothing yet.
    pub(super) fn new(
        mut session: Session,
        run: &'a Run,
        request: Vec<u8>,
        time: TimeLimit,
        ready: R,
    ) -> Self {
        session.time = time;
        Course {
            session,
            run,
            request,
            ready: Some(ready),
            last: None,
            status: None,
            open: 3,
            announced: false,
            ending: false,
            timed_out: false,
            killed: false,
            is_cut_off: false,
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
        let gone = self.status.is_some() || self.ending && self.session.link.stays();
        self.open == 0 && gone
    }

    /// Once the program has ended and all of its output is here, tells init, which waits for that.
    fn let_it_end(&mut self) {
        let session = &mut self.session;
        if self.last.is_none() || self.ending || !session.output.is_complete() {
            return;
        }
        self.ending = true;
        let settles = session.deadline.filter(|_| self.timed_out);
        session.deadline = settles.or(session.link.is_over());
        // It fails when the machine is gone, which its own event tells.
        let _ = session.control.shutdown(Shutdown::Both);
    }

    /// What the deadline does that has passed; the end, if that is one.
    fn pass_deadline(&mut self) -> Result<Option<Ended>, MachineError> {
        let (timed_out, has_ended) = (self.timed_out, self.last.is_some());
        let session = &mut self.session;
        if self.is_cut_off && !has_ended && !timed_out {
            session.kill();
            return Err(session.crash("says nothing more, and does not end".to_owned()));
        }
        if self.ending && !timed_out {
            session.kill();
            return Err(session.crash("did not end after the program had".to_owned()));
        }
        // Whoever reads the output may take the time that it likes; the emulator may not.
        if has_ended && !timed_out {
            let now = session.output.relayed();
            if !session.output.is_read_slowly() && now == std::mem::replace(&mut self.seen, now) {
                session.kill();
                let how = "gave less output than its init had announced";
                return Err(session.crash(how.to_owned()));
            }
            session.deadline = Some(Instant::now() + Backing::END_LIMIT);
            return Ok(None);
        }
        if session.times.started.is_none() {
            if session.patience.is_over() {
                session.kill();
                let how = session.patience.describe();
                return Err(session.crash(how));
            }
            session.deadline = Some(session.patience.deadline());
            return Ok(None);
        }
        if self.killed || has_ended {
            session.kill();
            return Ok(Some(session.ended(Outcome::TimedOut)));
        }
        if timed_out {
            self.killed = true;
            session.kill();
            // What it had written by now is still on its way.
            session.deadline = Some(Instant::now() + Backing::SETTLE_LIMIT);
            return Ok(None);
        }
        self.timed_out = true;
        session.signal(session.time.signal);
        session.deadline = Instant::now().checked_add(session.time.grace);
        Ok(None)
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
                if self.last.is_none() && self.status.is_none() && !self.timed_out {
                    self.is_cut_off = true;
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
                session.deadline = session.deadline.filter(|_| self.timed_out);
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
                request::check(&hello, self.run)?;
                if let Some(ready) = self.ready.take() {
                    ready();
                    let asked = std::mem::take(&mut self.request);
                    let clock = request::clock(&hello);
                    session.requests.send([clock, asked].concat());
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
            Event::Output { stdout, stderr, .. } if self.last.is_none() => {
                self.announced = true;
                session.output.expect(stdout, stderr);
            }
            Event::Ended { outcome, .. } if self.last.is_none() => {
                session.times.started.get_or_insert_with(Instant::now);
                self.last = Some(outcome);
                // A program that was not started has written nothing.
                if !self.announced {
                    session.output.expect(0, 0);
                }
                // The limit is the program's, not that of whoever reads its output.
                self.seen = session.output.relayed();
                let limit = match self.timed_out {
                    false => Backing::END_LIMIT,
                    true => Backing::SETTLE_LIMIT,
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
        if ends || self.last.is_some() && signal.is_ending() {
            session.kill();
            let by = Outcome::signaled(signal);
            let cut = self.last.take().map(|last| last.cut_by(by.clone()));
            return Some(session.ended(cut.unwrap_or(by)));
        }
        if session.is_the_terminals(signal) {
            return None;
        }
        let message = session.signal_message(signal);
        if self.request.is_empty() {
            session.requests.send(message);
        } else {
            self.request.extend(message);
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
        if self.timed_out {
            return Ok(session.ended(Outcome::TimedOut));
        }
        let status = self.status.flatten();
        match self.last.take() {
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
