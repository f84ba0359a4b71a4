// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serves a session in one thread: init's events, the client's wishes, our streams, and the time.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use cki_session::gate::Gate;
use cki_session::{Event, Hello, Isolation, Outcome, Outgoing, ProcessId, Request, Run, Signal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::client::{Client, Wish};
use super::control::{Inbox, Input, Requests, WAITING_MAX};
use super::error::{ContainerError, host, of_init};
use super::observer::Observer;
use super::plan::Plan;
use super::streams::{Streams, has_no_room};
use crate::vm::outside::{Outside, port};
use crate::vm::report;
use crate::vm::vcpu::End;

/// Longest time that poll waits; a deadline further away is looked at again.
const POLL_MAX: Duration = Duration::from_secs(60);

/// A session, from its start to its end.
pub(super) struct Driver<'s> {
    outside: &'s Outside,
    requests: &'s Requests,
    client: &'s mut dyn Client,
    observer: Option<&'s Observer>,
    /// The program; without one, there is only the kernel's console.
    run: Option<Run>,
    id: ProcessId,
    isolation: Isolation,
    stage: Stage,
    timeout: Option<Duration>,
    stop: (Signal, Duration),
    start_timeout: Duration,
    /// Of what the stage is: until when the program has to start, may run, may end after it was told to.
    deadline: Option<Instant>,
    /// The client wants something.
    asked: bool,
    /// The console stopped with work left.
    more: bool,
    /// How much init may say.
    gate: Gate,
}

/// How far what is in the container has come. It goes one way: each stage follows one that is above it.
#[derive(Debug)]
enum Stage {
    /// No program was asked for, and no init has said hello: there is the kernel's console, with our standard input,
    /// unless that has ended.
    Console {
        /// It has not.
        typing: bool,
    },
    /// Init has not said hello. It is asked for these things then.
    Booting(Outgoing),
    /// Init was asked for the program.
    Starting,
    /// The program runs; or an init that was asked for none.
    Running,
    /// The program's time is over, and it was told.
    Stopping,
    /// It has ended, and output is still to be taken from us.
    Ended {
        /// How.
        outcome: Outcome,
        /// Whether there was one that had started.
        had_started: bool,
    },
}

impl Stage {
    /// Whether there is a program that has started, or was one.
    fn has_started(&self) -> bool {
        match self {
            Stage::Console { .. } | Stage::Booting(_) | Stage::Starting => false,
            Stage::Running | Stage::Stopping => true,
            Stage::Ended { had_started, .. } => *had_started,
        }
    }
}

type Step = Option<Result<Outcome, ContainerError>>;

impl<'s> Driver<'s> {
    /// A session that begins now.
    ///
    /// # Errors
    /// [`ContainerError::Request`] when the request is too long for a message.
    pub(super) fn new(
        outside: &'s Outside,
        requests: &'s Requests,
        plan: Plan,
        client: &'s mut dyn Client,
    ) -> Result<Self, ContainerError> {
        let (stage, first_limit) = match &plan.run {
            // A console has started when its kernel does.
            None => (Stage::Console { typing: true }, plan.timeout),
            Some(run) => {
                let mut asked = Outgoing::default();
                asked
                    .push(&Request::Run(Box::new(run.clone())))
                    .map_err(|error| ContainerError::Request(error.to_string()))?;
                (Stage::Booting(asked), Some(plan.start_timeout))
            }
        };
        Ok(Driver {
            outside,
            requests,
            client,
            observer: None,
            id: plan.run.as_ref().map_or(ProcessId::MAIN, |run| run.id),
            run: plan.run,
            isolation: plan.isolation,
            stage,
            timeout: plan.timeout,
            stop: plan.stop,
            start_timeout: plan.start_timeout,
            deadline: first_limit.and_then(|limit| Instant::now().checked_add(limit)),
            // It may have said more than its first request.
            asked: true,
            more: false,
            gate: Gate::for_container(),
        })
    }

    /// Tells who asks what the container has counted.
    pub(super) fn is_observed_by(&mut self, observer: Option<&'s Observer>) {
        self.observer = observer;
    }

    /// Serves the session to its end.
    pub(super) fn drive(
        &mut self,
        inbox: &Inbox,
        streams: &mut Streams,
    ) -> Result<Outcome, ContainerError> {
        loop {
            // Not until nothing is left: a guest may add as fast.
            for _ in 0..=WAITING_MAX {
                let Some(input) = inbox.take() else { break };
                if let Some(result) = self.input(input) {
                    return result;
                }
                // Init may have waited for room.
                self.more = true;
            }
            // After the messages: a program that has started gets the signal, one that has ended, and whose output was
            // all taken, tells how.
            let step = self
                .check_last()
                .or_else(|| self.check_output())
                .or_else(|| self.check_client())
                .or_else(|| self.check_time())
                .or_else(|| self.wait(inbox, streams));
            if let Some(result) = step {
                return result;
            }
        }
    }

    fn input(&mut self, input: Input) -> Step {
        match input {
            // After the last message, it is init that switches its machine off.
            _ if matches!(self.stage, Stage::Ended { .. }) => None,
            Input::VcpuEnded(end) => Some(self.vcpu_end(&end)),
            Input::Protocol(error) => Some(Err(ContainerError::Protocol(error))),
            Input::DeviceFailed(device, problem) => {
                Some(Err(ContainerError::Device { device, problem }))
            }
            Input::Init(event) => {
                let event = self.gate.pass(event)?;
                self.init_says(event)
            }
        }
    }

    fn init_says(&mut self, event: Event) -> Step {
        let is_new = matches!(self.stage, Stage::Console { .. } | Stage::Booting(_));
        match event {
            Event::Hello(hello) if is_new => return self.greet(&hello),
            Event::Hello(_) => return breach("it says hello twice"),
            _ if is_new => return breach("it does not say hello"),
            Event::Started { pid, .. } => {
                if matches!(self.stage, Stage::Starting) {
                    self.stage = Stage::Running;
                    // Init of a container cannot know its isolation; the module does.
                    let (id, isolation) = (self.id, self.isolation);
                    self.client.tell(&Event::Started { id, pid, isolation });
                    self.deadline = self.timeout.and_then(|t| Instant::now().checked_add(t));
                }
            }
            Event::Ended { outcome, .. } => {
                let outcome = match outcome {
                    _ if matches!(self.stage, Stage::Stopping) => Outcome::TimedOut,
                    Outcome::Failed(failure) => {
                        Outcome::Failed(of_init(failure, &self.outside.console_text()))
                    }
                    outcome => outcome,
                };
                let had_started = self.stage.has_started();
                self.stage = Stage::Ended {
                    outcome,
                    had_started,
                };
            }
            Event::Refused { message } => self.client.tell(&Event::Refused { message }),
            Event::Output { .. } | Event::Ready { .. } | Event::Unknown => {}
        }
        None
    }

    /// Init is up, and is asked for the program, if it can do that.
    fn greet(&mut self, hello: &Hello) -> Step {
        let (accepted, next) = match &self.run {
            Some(run) => (hello.accepts(run), Stage::Starting),
            None => (hello.check(), Stage::Running),
        };
        if let Err(mismatch) = accepted {
            return Some(Err(ContainerError::Mismatch(mismatch)));
        }
        self.client.up(self.isolation);
        if let Stage::Booting(asked) = std::mem::replace(&mut self.stage, next) {
            // It has room: nothing else was for init before.
            let _ = self.requests.append(asked);
        }
        self.more |= self.outside.poll();
        None
    }

    /// The end, once everything that the program wrote was taken from us. Init hands it over before it
    /// says its last message; a slow reader may not have all of it yet.
    fn check_last(&self) -> Step {
        let Stage::Ended { outcome, .. } = &self.stage else {
            return None;
        };
        let waits = self.outside.interests();
        if waits[port::STDOUT].output || waits[port::STDERR].output {
            return None;
        }
        // After that: what is broken does not wait any more.
        self.check_output().or_else(|| Some(Ok(outcome.clone())))
    }

    fn vcpu_end(&self, end: &End) -> Result<Outcome, ContainerError> {
        let when = match &self.stage {
            Stage::Console { .. } => "",
            Stage::Booting(_) => "before its init was up",
            Stage::Starting => "before the program was started",
            Stage::Running => "while the program was running",
            Stage::Stopping => return Ok(Outcome::TimedOut),
            Stage::Ended { outcome, .. } => return Ok(outcome.clone()),
        };
        if let Stage::Console { .. } = self.stage {
            // What it printed last may be lost.
            if let Some(result) = self.check_output() {
                return result;
            }
            // A console: the guest's own end is the end that was wanted.
            if let End::Shutdown { reason, code } = end {
                if *reason == cki_abi::hypercalls::arguments::SHUTDOWN_POWEROFF {
                    return Ok(Outcome::Exited(*code as u8));
                }
            }
        }
        Err(ContainerError::Ended {
            how: report::describe(end),
            when,
            console: self.outside.console_text(),
        })
    }

    /// The end by a stream that takes no more: what was for it is lost, however the program ends.
    fn check_output(&self) -> Step {
        // Without a program, standard output is the copy of the kernel's console.
        let stdout = match self.run {
            None => self.outside.copy_broken(),
            Some(_) => self.outside.broken(port::STDOUT),
        };
        match (stdout, self.outside.broken(port::STDERR)) {
            (Some(ErrorKind::BrokenPipe), _) => Some(Ok(Outcome::signaled(Signal::PIPE))),
            (Some(kind), _) => Some(Err(ContainerError::Output("standard output", kind))),
            // A reader of errors that has gone is the program's business.
            (None, Some(kind)) if has_no_room(kind) => {
                Some(Err(ContainerError::Output("standard error", kind)))
            }
            (None, _) => None,
        }
    }

    fn check_time(&mut self) -> Step {
        if self
            .deadline
            .is_none_or(|deadline| Instant::now() < deadline)
        {
            return None;
        }
        match &self.stage {
            Stage::Ended { .. } => return self.cut_by(Outcome::TimedOut),
            Stage::Console { .. } | Stage::Stopping => return Some(Ok(Outcome::TimedOut)),
            Stage::Booting(_) | Stage::Starting => {
                return Some(Err(ContainerError::Hangs {
                    seconds: self.start_timeout.as_secs_f64(),
                    console: self.outside.console_text(),
                }));
            }
            Stage::Running => {}
        }
        self.stage = Stage::Stopping;
        let (signal, grace) = self.stop;
        self.deadline = Instant::now().checked_add(grace);
        self.signal(signal);
        None
    }

    fn check_client(&mut self) -> Step {
        if !std::mem::take(&mut self.asked) {
            return None;
        }
        for wish in self.client.wishes(self.stage.has_started()) {
            match wish {
                // Only we are left to get one.
                Wish::Signal(signal) if matches!(self.stage, Stage::Ended { .. }) => {
                    if signal.is_ending() {
                        return self.cut_by(Outcome::signaled(signal));
                    }
                }
                Wish::Signal(signal) => self.signal(signal),
                Wish::Resize(terminal) => {
                    let id = self.id;
                    self.ask(&Request::Resize { id, terminal });
                }
                Wish::End(outcome) => return self.cut_by(outcome),
            }
        }
        None
    }

    /// The end by a wish of the client's, who may not have all of the output.
    fn cut_by(&self, outcome: Outcome) -> Step {
        Some(Ok(match &self.stage {
            Stage::Ended { outcome: last, .. } => last.cut_by(outcome),
            _ => outcome,
        }))
    }

    /// Sends a signal to the program.
    fn signal(&mut self, signal: Signal) {
        let id = self.id;
        self.ask(&Request::Signal { id, signal });
    }

    /// Asks init, if there is one, for something; before it is up, with the program.
    fn ask(&mut self, request: &Request) {
        // A program that takes no signals, or does not run yet, gets the first some thousand.
        let queued = match &mut self.stage {
            Stage::Console { .. } => return,
            Stage::Booting(asked) => asked.push(request),
            Stage::Starting | Stage::Running | Stage::Stopping | Stage::Ended { .. } => {
                let queued = self.requests.push(request);
                self.more |= self.outside.poll();
                queued
            }
        };
        if queued.is_err() {
            let message = "not passed on: init of the container has not taken thousands before it";
            self.client.tell(&Event::Refused {
                message: message.to_owned(),
            });
        }
    }

    /// Waits for something to happen, and does what is to be done about streams.
    fn wait(&mut self, inbox: &Inbox, our: &mut Streams) -> Step {
        let interests = self.outside.interests();
        let is_typed = matches!(self.stage, Stage::Console { typing: true });
        let typing = is_typed && self.outside.console_room() != 0;
        let mut wanted = [PollFlags::empty(); 3];
        if interests[port::STDIN].input || typing {
            wanted[0] = PollFlags::POLLIN;
        }
        for (number, port) in [(1, port::STDOUT), (2, port::STDERR)] {
            if interests[port].output {
                wanted[number] = PollFlags::POLLOUT;
            }
        }
        let mut fds = vec![
            PollFd::new(inbox.waker().as_fd(), PollFlags::POLLIN),
            PollFd::new(self.client.descriptor(), self.client.interest()),
        ];
        let signals = self.client.signals();
        fds.extend(signals.map(|signals| PollFd::new(signals, PollFlags::POLLIN)));
        let own = fds.len();
        let observer = self.observer;
        let observed = observer.map(|one| PollFd::new(one.descriptor(), PollFlags::POLLIN));
        fds.extend(observed);
        let ours = fds.len();
        // A descriptor that we wait for nothing of would still report that it was hung up.
        for (file, flags) in [&our.stdin, &our.stdout, &our.stderr]
            .into_iter()
            .zip(wanted)
        {
            if !flags.is_empty() {
                fds.push(PollFd::new(file.as_fd(), flags));
            }
        }
        let more = std::mem::take(&mut self.more);
        let time = if more {
            PollTimeout::ZERO
        } else {
            self.poll_time()
        };
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Some(Err(host("poll")(error.into()))),
        }
        let seen = |at: usize| {
            fds.get(at)
                .and_then(PollFd::revents)
                .is_some_and(|flags| !flags.is_empty())
        };
        let streams = (ours..fds.len()).any(seen);
        let asked = (1..own).any(seen);
        let is_observed = (own..ours).any(seen);
        drop(fds);
        if let Some(observer) = observer.filter(|_| is_observed) {
            observer.answer();
        }
        self.asked = asked;
        // Nothing to read is no error: somebody else's wake-up was ours too.
        let _ = inbox.waker().take();
        if streams && typing {
            self.type_in(&mut our.stdin);
        } else if streams || more {
            self.more |= self.outside.poll();
        }
        None
    }

    fn type_in(&mut self, stdin: &mut File) {
        let mut bytes = [0; 512];
        let room = self.outside.console_room().min(bytes.len());
        match stdin.read(&mut bytes[..room]) {
            Ok(count @ 1..) => self.outside.type_in(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.stage = Stage::Console { typing: false },
        }
    }

    fn poll_time(&self) -> PollTimeout {
        let left = self.deadline.map_or(POLL_MAX, |deadline| {
            deadline
                .saturating_duration_since(Instant::now())
                .min(POLL_MAX)
        });
        // Rounded up, so that the deadline has passed when poll returns.
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::NONE)
    }
}

/// The end by an init that breaks the rules of the protocol.
fn breach(how: &str) -> Step {
    Some(Err(ContainerError::Protocol(how.to_owned())))
}
