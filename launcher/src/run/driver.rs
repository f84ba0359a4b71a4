// SPDX-License-Identifier: MIT OR Apache-2.0

//! The main thread's part of a session: messages, signals, our streams, and the time.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use cki_session::{FailureKind, GuestMessage, HostMessage, VERSION, encode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::machine::{Machine, port};
use super::outcome::{Outcome, SessionError};
use super::report;
use super::session::{ENDING, Io, Watch, host};
use super::streams::{Event, Inbox, Outgoing};
use super::vcpu::End;

/// Time for the program to end after a signal of ours, before its container is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Longest time that poll waits; a deadline further away is looked at again.
const POLL_MAX: Duration = Duration::from_secs(60);

/// Why we are ending the program.
#[derive(Clone, Copy)]
enum Ending {
    Time,
    Signal(i32),
}

/// What the main thread knows of a session.
pub(super) struct Driver<'s> {
    machine: &'s Machine,
    outgoing: &'s Outgoing,
    request: Option<Vec<u8>>,
    watch: &'s mut dyn Watch,
    timeout: Option<Duration>,
    start_limit: Duration,
    deadline: Option<Instant>,
    hello: bool,
    started: bool,
    ending: Option<Ending>,
    /// How it ended, while output is still to be taken from us.
    last: Step,
    /// The vCPU's thread has ended.
    vcpu_ended: bool,
    /// There are signals to be read.
    signalled: bool,
    /// Our standard input has not ended (console only).
    typing: bool,
}

type Step = Option<Result<Outcome, SessionError>>;

impl<'s> Driver<'s> {
    /// A session that begins now. `request` is what init is told; without one there is no program, only
    /// the kernel's console. `limits` are the time for the program and the time until it runs.
    pub(super) fn new(
        machine: &'s Machine,
        outgoing: &'s Outgoing,
        request: Option<Vec<u8>>,
        limits: (Option<Duration>, Duration),
        watch: &'s mut dyn Watch,
    ) -> Self {
        let (timeout, start_limit) = limits;
        // A console has started when its kernel does.
        let started = request.is_none();
        let first_limit = if started { timeout } else { Some(start_limit) };
        Driver {
            machine,
            outgoing,
            request,
            watch,
            timeout,
            start_limit,
            deadline: first_limit.and_then(|limit| Instant::now().checked_add(limit)),
            hello: false,
            started,
            ending: None,
            last: None,
            vcpu_ended: false,
            signalled: false,
            typing: true,
        }
    }

    /// Whether the vCPU's thread has ended.
    pub(super) fn vcpu_has_ended(&self) -> bool {
        self.vcpu_ended
    }

    /// Serves the session to its end.
    pub(super) fn drive(
        &mut self,
        inbox: &mut Inbox,
        signals: &SignalFd,
        io: &mut Io,
    ) -> Result<Outcome, SessionError> {
        loop {
            while let Ok(event) = inbox.receiver.try_recv() {
                if let Some(result) = self.event(event) {
                    return result;
                }
            }
            // After the messages: a program that has started gets the signal, one that has ended tells how.
            let step = self
                .check_signals(signals)
                .or_else(|| self.check_last())
                .or_else(|| self.check_output())
                .or_else(|| self.check_time())
                .or_else(|| self.wait(inbox, signals, io));
            if let Some(result) = step {
                return result;
            }
        }
    }

    fn is_session(&self) -> bool {
        self.request.is_some() || self.hello
    }

    fn event(&mut self, event: Event) -> Step {
        match event {
            Event::End(end) => {
                self.vcpu_ended = true;
                // After the last message, it is init that switches its machine off.
                if self.last.is_some() {
                    return None;
                }
                Some(self.ended(&end))
            }
            _ if self.last.is_some() => None,
            Event::Protocol(error) => Some(Err(SessionError::Protocol(error))),
            Event::Message(GuestMessage::Hello { version, .. }) => {
                if version != VERSION || self.hello {
                    return Some(Err(SessionError::Protocol(format!(
                        "it has version {version} of the session protocol, here it is {VERSION}"
                    ))));
                }
                self.hello = true;
                self.watch.ready();
                if let Some(request) = self.request.take() {
                    self.outgoing.push(&request);
                    self.machine.poll();
                }
                None
            }
            // Init of a container cannot know its isolation; who is told knows it of the module.
            Event::Message(GuestMessage::Started { pid, .. }) => {
                if !self.started {
                    self.started = true;
                    self.watch.started(pid);
                }
                if self.ending.is_none() {
                    self.deadline = self.timeout.and_then(|t| Instant::now().checked_add(t));
                }
                None
            }
            Event::Message(last) => {
                self.last = Some(self.conclude(last));
                None
            }
        }
    }

    /// What the last message says.
    fn conclude(&self, last: GuestMessage) -> Result<Outcome, SessionError> {
        if let Some(ending) = self.ending {
            return Ok(outcome_of(ending, Some(last)));
        }
        match last {
            GuestMessage::Exited { status } => u8::try_from(status)
                .map(Outcome::Exited)
                .map_err(|_| SessionError::Protocol(format!("exit status {status}"))),
            GuestMessage::Signaled { signal, oom } => Ok(Outcome::Signaled { signal, oom }),
            GuestMessage::Failed { message, kind } => match kind {
                FailureKind::NotFound | FailureKind::NotExecutable => {
                    Ok(Outcome::NotRun { message, kind })
                }
                FailureKind::Image => Err(SessionError::Init {
                    message,
                    kind,
                    console: String::new(),
                }),
                FailureKind::Internal => Err(SessionError::Init {
                    message,
                    kind,
                    console: self.machine.console_text(),
                }),
            },
            GuestMessage::Hello { .. } | GuestMessage::Started { .. } => Err(
                SessionError::Protocol("a last message that is none".to_owned()),
            ),
        }
    }

    /// The end, once everything that the program wrote was taken from us. Init hands it over before it
    /// says its last message; a slow reader may not have all of it yet.
    fn check_last(&mut self) -> Step {
        let waits = self.machine.interests();
        if waits[port::STDOUT].output || waits[port::STDERR].output {
            return None;
        }
        self.last.take()
    }

    fn ended(&self, end: &End) -> Result<Outcome, SessionError> {
        if let Some(ending) = self.ending {
            return Ok(outcome_of(ending, None));
        }
        if !self.is_session() {
            // A console: the guest's own end is the end that was wanted.
            if let End::Shutdown { reason, code } = end {
                if *reason == cki_abi::hypercalls::arguments::SHUTDOWN_POWEROFF {
                    return Ok(Outcome::Exited(*code as u8));
                }
            }
        }
        Err(SessionError::Ended {
            how: report::describe(end),
            when: match (self.is_session(), self.hello, self.started) {
                (false, ..) => "",
                (_, false, _) => "before its init was up",
                (_, _, false) => "before the program was started",
                _ => "while the program was running",
            },
            console: self.machine.console_text(),
        })
    }

    fn check_output(&self) -> Step {
        match self.machine.broken(port::STDOUT)? {
            ErrorKind::BrokenPipe => Some(Ok(Outcome::BrokenPipe)),
            kind => Some(Err(SessionError::Output(kind))),
        }
    }

    fn check_time(&mut self) -> Step {
        if self
            .deadline
            .is_none_or(|deadline| Instant::now() < deadline)
        {
            return None;
        }
        if self.last.is_some() {
            return self.last.take();
        }
        if let Some(ending) = self.ending {
            return Some(Ok(outcome_of(ending, None)));
        }
        if !self.started {
            return Some(Err(SessionError::Hangs {
                seconds: self.start_limit.as_secs_f64(),
                console: self.machine.console_text(),
            }));
        }
        self.end(Ending::Time, Signal::SIGTERM as i32)
    }

    /// Begins to end the program; ends at once where there is none to tell.
    fn end(&mut self, ending: Ending, signal: i32) -> Step {
        if self.last.is_some() {
            return self.last.take();
        }
        // A second signal: whoever sends it does not want to wait.
        if self.ending.is_some() || !self.hello || !self.started {
            return Some(Ok(outcome_of(self.ending.unwrap_or(ending), None)));
        }
        self.ending = Some(ending);
        self.deadline = Some(Instant::now() + GRACE);
        self.say(&HostMessage::Signal { signal });
        None
    }

    fn say(&self, message: &HostMessage) {
        if let Ok(line) = encode(message) {
            self.outgoing.push(&line);
            self.machine.poll();
        }
    }

    /// Waits for something to happen, and does what is to be done about streams.
    fn wait(&mut self, inbox: &mut Inbox, signals: &SignalFd, io: &mut Io) -> Step {
        let interests = self.machine.interests();
        let typing = !self.is_session() && self.typing && self.machine.console_room() != 0;
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
            PollFd::new(inbox.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        // A descriptor that we wait for nothing of would still report that it was hung up.
        for (file, flags) in [&io.stdin, &io.stdout, &io.stderr].into_iter().zip(wanted) {
            if !flags.is_empty() {
                fds.push(PollFd::new(file.as_fd(), flags));
            }
        }
        match poll(&mut fds, self.poll_time()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Some(Err(host("poll")(error.into()))),
        }
        let seen = |at: usize| {
            fds.get(at)
                .and_then(PollFd::revents)
                .is_some_and(|flags| !flags.is_empty())
        };
        let streams = (2..fds.len()).any(seen);
        self.signalled = seen(1);
        drop(fds);
        // Nothing to read is no error: somebody else's wake-up was ours too.
        let _ = inbox.wake.read();
        if streams && typing {
            self.type_in(&mut io.stdin);
        } else if streams {
            self.machine.poll();
        }
        None
    }

    fn check_signals(&mut self, signals: &SignalFd) -> Step {
        if !std::mem::take(&mut self.signalled) {
            return None;
        }
        while let Ok(Some(info)) = signals.read_signal() {
            if let Some(step) = self.signal(info.ssi_signo as i32) {
                return Some(step);
            }
        }
        None
    }

    fn signal(&mut self, signal: i32) -> Step {
        if ENDING.iter().any(|&ending| ending as i32 == signal) {
            return self.end(Ending::Signal(signal), signal);
        }
        if self.hello {
            self.say(&HostMessage::Signal { signal });
        }
        None
    }

    fn type_in(&mut self, stdin: &mut File) {
        let mut bytes = [0; 512];
        let room = self.machine.console_room().min(bytes.len());
        match stdin.read(&mut bytes[..room]) {
            Ok(count @ 1..) => self.machine.type_in(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.typing = false,
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

fn outcome_of(ending: Ending, program: Option<GuestMessage>) -> Outcome {
    match ending {
        Ending::Time => Outcome::TimedOut,
        Ending::Signal(signal) => Outcome::Interrupted { signal, program },
    }
}
