// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serves a process in a container: its streams, its init's events, and the user.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use cki_session::exec::port;
use cki_session::gate::Gate;
use cki_session::{
    Event, Exec, Hello, Isolation, Outcome, Process, ProcessId, Request, Signal, StreamPorts,
};
use nix::poll::{PollFd, PollTimeout, poll};

use super::connect::{ConnectError, PortConnection, connect};
use super::control::{Control, ControlError};
use super::error::ExecError;
use super::relay::{At, Relay};
use super::waiting::Waiting;
use crate::session::client::{Client, Wish};
use crate::session::streams::{Streams, has_no_room};

/// Time in which a container that is still starting has to take connections; then its init has as much to say hello,
/// and as much again to start the process or say why not.
pub const START_LIMIT: Duration = Duration::from_secs(30);
/// After the last message, output that is on its way is waited for so long. The time that our reader takes is not
/// counted.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Bytes of a stream after the last message, about, at most: more than all buffers on the way hold.
const LATE_MAX: u64 = 8 << 20;
/// Events that are heard in one turn, at most.
const EVENTS_MAX: usize = 8;

/// A process for a container.
#[derive(Debug)]
pub struct ExecRequest {
    /// What the client calls it.
    pub id: ProcessId,
    /// What it executes.
    pub process: Process,
    /// The isolation of the container, which its init cannot know.
    pub isolation: Isolation,
    /// What the client has asked for until now.
    pub waiting: Waiting,
}

/// Connections for a process: its streams, and one for messages.
#[derive(Debug)]
pub struct Connections {
    control: PortConnection,
    stdin: PortConnection,
    stdout: PortConnection,
    /// A process with a terminal has none.
    stderr: Option<PortConnection>,
}

impl Connections {
    /// Opens them, `stderr` too if it is wanted. Until the deadline, a container that is still starting is waited for;
    /// `runs` says whether there is one, and the same as before: all connections are to that one then.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(
        socket: &Path,
        stderr: bool,
        deadline: Instant,
        runs: &mut dyn FnMut() -> bool,
    ) -> Result<Self, ConnectError> {
        let mut open = |port| connect(socket, port, deadline, runs);
        // Init gives a stream some seconds to be named in a request.
        let connections = Connections {
            stdin: open(port::STREAMS)?,
            stdout: open(port::STREAMS)?,
            stderr: stderr.then(|| open(port::STREAMS)).transpose()?,
            control: open(port::CONTROL)?,
        };
        // The socket is found by a name, which another container may have had for one of them.
        if !runs() {
            return Err(ConnectError::Ended);
        }
        Ok(connections)
    }
}

/// A process in a container, from the request to its end.
pub struct Driver<'c> {
    client: &'c mut dyn Client,
    control: Control,
    /// What the client calls the process.
    id: ProcessId,
    isolation: Isolation,
    stage: Stage,
    /// What init is told after the request, as soon as it takes it.
    waiting: Waiting,
    stdin: Relay,
    stdout: Relay,
    stderr: Option<Relay>,
    /// The time that init has to say hello, and then to start the process.
    start_limit: Duration,
    /// How much init may say.
    gate: Gate,
    /// Bytes of standard output and standard error that init says the process has written.
    said: Option<(u64, u64)>,
}

/// How far the process has come. It goes one way: each stage follows one that is above it.
enum Stage {
    /// Init has not said hello.
    Connected {
        /// What it is asked for then.
        request: Box<Exec>,
        /// When it is too late for that.
        deadline: Instant,
    },
    /// Init was asked for the process.
    Starting {
        /// When it is too late to start it, or to say why not.
        deadline: Instant,
    },
    /// It runs.
    Running,
    /// It has ended, and its output is still on its way.
    Ended(Last),
}

impl Stage {
    /// Whether there is a process, or was one.
    fn has_started(&self) -> bool {
        match self {
            Stage::Connected { .. } | Stage::Starting { .. } => false,
            Stage::Running => true,
            Stage::Ended(last) => last.had_started,
        }
    }

    /// Until when init has to say hello, or whether it starts the process.
    fn start_deadline(&self) -> Option<Instant> {
        match self {
            Stage::Connected { deadline, .. } | Stage::Starting { deadline } => Some(*deadline),
            Stage::Running | Stage::Ended(_) => None,
        }
    }
}

/// How the process ended.
struct Last {
    outcome: Outcome,
    /// Whether there was one that had started.
    had_started: bool,
    /// Until when output may come; later if our reader keeps it waiting.
    deadline: Instant,
}

impl<'c> Driver<'c> {
    /// A process that is not asked for yet.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(
        connections: Connections,
        wanted: ExecRequest,
        ours: Streams,
        client: &'c mut dyn Client,
    ) -> io::Result<Self> {
        Self::with_start_limit(connections, wanted, ours, client, START_LIMIT)
    }

    /// The same, for an init that has another time to say hello, and to start the process.
    pub(super) fn with_start_limit(
        connections: Connections,
        wanted: ExecRequest,
        ours: Streams,
        client: &'c mut dyn Client,
        start_limit: Duration,
    ) -> io::Result<Self> {
        let Connections {
            control,
            stdin,
            stdout,
            stderr,
        } = connections;
        let streams = StreamPorts {
            stdin: Some(stdin.port),
            stdout: Some(stdout.port),
            stderr: stderr.as_ref().map(|stream| stream.port),
        };
        let stderr = stderr.map(|theirs| Relay::new(theirs.stream, ours.stderr));
        Ok(Driver {
            client,
            control: Control::new(control.stream)?,
            id: wanted.id,
            isolation: wanted.isolation,
            stage: Stage::Connected {
                request: Box::new(Exec {
                    id: ProcessId::MAIN,
                    process: wanted.process,
                    streams,
                }),
                deadline: Instant::now() + start_limit,
            },
            waiting: wanted.waiting,
            stdin: Relay::new(ours.stdin, stdin.stream)?,
            stdout: Relay::new(stdout.stream, ours.stdout)?,
            stderr: stderr.transpose()?,
            start_limit,
            gate: Gate::for_container(),
            said: None,
        })
    }

    /// Serves it to its end. It ends with the connection, so at the latest when this is over.
    ///
    /// # Errors
    /// [`ExecError`] when it cannot be said how it ended.
    pub fn drive(mut self) -> Result<Outcome, ExecError> {
        let outcome = self.serve();
        // Also when it ends badly: who does not hear how much there is takes it for nothing. Standard error goes by way
        // of whoever started us, who counts it.
        self.client.tell(&Event::Output {
            id: self.id,
            stdout: self.stdout.written(),
            stderr: 0,
        });
        outcome
    }

    fn serve(&mut self) -> Result<Outcome, ExecError> {
        loop {
            self.control.say();
            // Lines that were read wait here, and no poll tells of them.
            let mut heard = 0;
            while heard < EVENTS_MAX && !self.has_ended() {
                let Some(event) = self.control.hear()? else {
                    break;
                };
                if let Some(event) = self.gate.pass(event) {
                    self.init_says(event)?;
                }
                heard += 1;
            }
            // Before the client: one that wants the end of a process that has ended, and whose output was all handed
            // over, cuts nothing.
            let moved = self.relay();
            if let Some(outcome) = self.check_end()? {
                return Ok(outcome);
            }
            if let Some(outcome) = self.check_client() {
                return Ok(outcome);
            }
            self.pass_on()?;
            match self.stage {
                Stage::Connected { deadline, .. } if Instant::now() >= deadline => {
                    return Err(ExecError::Silent);
                }
                Stage::Starting { deadline } if Instant::now() >= deadline => {
                    return Err(ExecError::NotStarted);
                }
                _ => {}
            }
            self.wait(moved || heard == EVENTS_MAX)?;
        }
    }

    fn init_says(&mut self, event: Event) -> Result<(), ExecError> {
        let breach = |what: &str| Err(ControlError::Protocol(what.to_owned()).into());
        let is_new = matches!(self.stage, Stage::Connected { .. });
        match event {
            Event::Hello(hello) if is_new => return self.greet(&hello),
            Event::Hello(_) => return breach("it says hello twice"),
            _ if is_new => return breach("it does not say hello"),
            Event::Started { id, pid, .. } if id == ProcessId::MAIN => {
                if let Stage::Starting { .. } = self.stage {
                    self.stage = Stage::Running;
                    let (id, isolation) = (self.id, self.isolation);
                    self.client.tell(&Event::Started { id, pid, isolation });
                }
            }
            Event::Refused { message } => match self.stage {
                // It was the request itself.
                Stage::Starting { .. } => return Err(ExecError::Refused(message)),
                _ => self.client.tell(&Event::Refused { message }),
            },
            Event::Ended { id, outcome } if id == ProcessId::MAIN => {
                self.stage = Stage::Ended(Last {
                    outcome,
                    had_started: self.stage.has_started(),
                    deadline: Instant::now() + LINGER,
                });
                self.limit_output(LATE_MAX);
            }
            Event::Output { id, stdout, stderr } if id == ProcessId::MAIN => {
                self.said = Some((stdout, stderr));
            }
            Event::Started { .. }
            | Event::Ended { .. }
            | Event::Output { .. }
            | Event::Ready { .. }
            | Event::Unknown => {}
        }
        Ok(())
    }

    /// Init is up, and is asked for the process, if it can start it.
    fn greet(&mut self, hello: &Hello) -> Result<(), ExecError> {
        let deadline = Instant::now() + self.start_limit;
        let stage = std::mem::replace(&mut self.stage, Stage::Starting { deadline });
        if let Stage::Connected { request, .. } = stage {
            hello.accepts_beside(&request.process)?;
            self.control.ask(&Request::Exec(request))?;
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    fn check_client(&mut self) -> Option<Outcome> {
        for wish in self.client.wishes(self.stage.has_started()) {
            match (wish, &self.stage) {
                (Wish::End(by), Stage::Ended(last)) => return Some(last.outcome.cut_by(by)),
                // Only we are left to get a signal.
                (Wish::Signal(by), Stage::Ended(last)) if by.is_ending() => {
                    return Some(last.outcome.cut_by(Outcome::signaled(by)));
                }
                (Wish::Signal(_) | Wish::Resize(_), Stage::Ended(_)) => {}
                (Wish::End(outcome), _) => return Some(outcome),
                (Wish::Signal(signal), _) => self.waiting.signal(signal, self.client),
                (Wish::Resize(terminal), _) => self.waiting.resize(terminal),
            }
        }
        None
    }

    /// Tells init what waits, as far as there is room, and after the request itself.
    fn pass_on(&mut self) -> Result<(), ControlError> {
        let takes_some = matches!(self.stage, Stage::Starting { .. } | Stage::Running);
        while takes_some && self.control.has_room() {
            let Some(request) = self.waiting.next() else {
                break;
            };
            self.control.ask(&request)?;
        }
        Ok(())
    }

    /// Moves bytes; whether any output came, or was taken.
    fn relay(&mut self) -> bool {
        if matches!(self.stage, Stage::Running) && self.stdin.at() == At::Open {
            self.stdin.advance();
            if self.stdin.at() == At::End {
                self.stdin.shut_down();
            }
        }
        let mut moved = self.stdout.advance();
        if let Some(stderr) = &mut self.stderr {
            moved |= stderr.advance();
            // As for a reader that has gone from a pipe: the process is told when it writes.
            if matches!(stderr.at(), At::Broken(kind) if !has_no_room(kind)) {
                self.stderr = None;
            }
        }
        moved
    }

    fn outputs(&self) -> impl Iterator<Item = &Relay> {
        [Some(&self.stdout), self.stderr.as_ref()]
            .into_iter()
            .flatten()
    }

    fn limit_output(&mut self, bytes: u64) {
        self.stdout.limit(bytes);
        if let Some(stderr) = &mut self.stderr {
            stderr.limit(bytes);
        }
    }

    /// Whether what came is all that the process has written, if init says how much that is. What was left in the
    /// container's devices when it ended is gone.
    fn has_all(&self) -> bool {
        let (stdout, stderr) = self.said.unwrap_or_default();
        let short = |relay: &Relay, said| relay.received() < said;
        // A reader of errors that has gone is nobody who misses any.
        !short(&self.stdout, stdout) && !self.stderr.as_ref().is_some_and(|e| short(e, stderr))
    }

    /// The end, once everything that the process wrote was taken from us. A slow reader may not have all of it yet.
    fn check_end(&mut self) -> Result<Option<Outcome>, ExecError> {
        match self.stdout.at() {
            At::Broken(ErrorKind::BrokenPipe) => {
                return Ok(Some(Outcome::signaled(Signal::PIPE)));
            }
            At::Broken(kind) => return Err(ExecError::Output("standard output", kind)),
            At::Open | At::End => {}
        }
        if let Some(At::Broken(kind)) = self.stderr.as_ref().map(Relay::at) {
            return Err(ExecError::Output("standard error", kind));
        }
        let open = self.outputs().any(|output| output.at() == At::Open);
        let full = self.outputs().any(Relay::waits_for_room);
        let has_all = self.has_all();
        let Stage::Ended(last) = &mut self.stage else {
            return Ok(None);
        };
        if !open {
            // Whoever hears of a bad end does not take the output for whole.
            let well = matches!(last.outcome, Outcome::Exited(_));
            return match well && !has_all {
                true => Err(ExecError::Lost),
                false => Ok(Some(last.outcome.clone())),
            };
        }
        let now = Instant::now();
        if full {
            last.deadline = now + LINGER;
        }
        // Its streams end with the process, unless others have them too, or init means no good.
        if now >= last.deadline {
            self.limit_output(0);
        }
        Ok(None)
    }

    /// Waits for something to happen; not if there is more to move.
    fn wait(&self, moved: bool) -> io::Result<()> {
        let mut fds = vec![PollFd::new(
            self.client.descriptor(),
            self.client.interest(),
        )];
        if !self.has_ended() {
            let (file, flags) = self.control.descriptor();
            fds.push(PollFd::new(file.as_fd(), flags));
        }
        let stdin = matches!(self.stage, Stage::Running).then_some(&self.stdin);
        let relays = [stdin, Some(&self.stdout), self.stderr.as_ref()];
        for relay in relays.into_iter().flatten() {
            if let Some((file, flags)) = relay.descriptor() {
                fds.push(PollFd::new(file.as_fd(), flags));
            }
        }
        let stopped = self.outputs().any(Relay::is_stopped);
        let time = match self.stage.start_deadline() {
            _ if moved || stopped => PollTimeout::ZERO,
            _ if self.has_ended() => PollTimeout::from(100_u8),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up, so that poll is not asked again and again at the end.
                let left = left + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
