// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serves a process in a container: its streams, its init's events, and the user.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use cki_session::exec::port;
use cki_session::gate::Gate;
use cki_session::{
    Event, Exec, Isolation, Mismatch, Outcome, Process, ProcessId, Request, Signal, StreamPorts,
};
use nix::poll::{PollFd, PollTimeout, poll};

use super::connect::{ConnectError, PortConnection, connect};
use super::control::{Control, ControlError};
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

/// It cannot be said how the process ended, or there was none.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Init says nothing more, or nonsense.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Init says nothing.
    #[error("its init does not say hello")]
    Silent,
    /// Init has said hello, and nothing since.
    #[error("its init neither starts the process nor says why not")]
    NotStarted,
    /// Init speaks another version of the protocol, or cannot do it.
    #[error(
        "its init, which is as it was when the container started, and this command do not fit together: {0}"
    )]
    Mismatch(#[from] Mismatch),
    /// Init does not do it.
    #[error("its init refused: {0}")]
    Refused(String),
    /// This stream of ours takes nothing more.
    #[error("cannot write to {0}: {1}")]
    Output(&'static str, ErrorKind),
    /// Output of the process has not come: the container has taken it with it, or its devices took longer than two
    /// seconds.
    #[error(
        "not all of the process's output has come; if the container ended meanwhile, it is lost"
    )]
    Lost,
    /// A system call failed.
    #[error("cannot serve the streams")]
    System(#[from] io::Error),
}

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
    /// What init is told once it has said hello.
    request: Option<Exec>,
    /// What it is told after that, as soon as it takes it.
    waiting: Waiting,
    stdin: Relay,
    stdout: Relay,
    stderr: Option<Relay>,
    hello: bool,
    started: bool,
    /// The time that init has for each of these two.
    start_limit: Duration,
    /// When it is too late for the next of them.
    start_deadline: Instant,
    /// How much init may say.
    gate: Gate,
    /// Bytes of standard output and standard error that init says the process has written.
    said: Option<(u64, u64)>,
    last: Option<Last>,
}

/// How the process ended, while its output is still on its way.
struct Last {
    outcome: Outcome,
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
            request: Some(Exec {
                id: ProcessId::MAIN,
                process: wanted.process,
                streams,
            }),
            waiting: wanted.waiting,
            stdin: Relay::new(ours.stdin, stdin.stream)?,
            stdout: Relay::new(stdout.stream, ours.stdout)?,
            stderr: stderr.transpose()?,
            hello: false,
            started: false,
            start_limit,
            start_deadline: Instant::now() + start_limit,
            gate: Gate::for_container(),
            said: None,
            last: None,
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
            while heard < EVENTS_MAX && self.last.is_none() {
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
            if self.is_starting() && Instant::now() >= self.start_deadline {
                return Err(match self.hello {
                    false => ExecError::Silent,
                    true => ExecError::NotStarted,
                });
            }
            self.wait(moved || heard == EVENTS_MAX)?;
        }
    }

    fn init_says(&mut self, event: Event) -> Result<(), ExecError> {
        let protocol = |what: &str| ControlError::Protocol(what.to_owned());
        match event {
            Event::Hello(hello) => {
                let Some(exec) = self.request.take() else {
                    return Err(protocol("it says hello twice").into());
                };
                hello.accepts_beside(&exec.process)?;
                self.hello = true;
                self.start_deadline = Instant::now() + self.start_limit;
                self.control.ask(&Request::Exec(Box::new(exec)))?;
            }
            _ if !self.hello => return Err(protocol("it does not say hello").into()),
            Event::Started { id, pid, .. } if id == ProcessId::MAIN => {
                if !std::mem::replace(&mut self.started, true) {
                    let (id, isolation) = (self.id, self.isolation);
                    self.client.tell(&Event::Started { id, pid, isolation });
                }
            }
            // It was the request itself.
            Event::Refused { message } if !self.started => {
                return Err(ExecError::Refused(message));
            }
            Event::Refused { message } => {
                self.client.tell(&Event::Refused { message });
            }
            Event::Ended { id, outcome } if id == ProcessId::MAIN => {
                self.last = Some(Last {
                    outcome,
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

    /// Whether init has neither started the process nor said how that ended.
    fn is_starting(&self) -> bool {
        !self.started && self.last.is_none()
    }

    fn check_client(&mut self) -> Option<Outcome> {
        for wish in self.client.wishes(self.started) {
            match (wish, &self.last) {
                // Only we are left to get a signal.
                (Wish::Signal(signal), Some(_)) if !signal.is_ending() => {}
                (Wish::End(by), Some(last)) => return Some(last.outcome.cut_by(by)),
                (Wish::Signal(by), Some(last)) => {
                    return Some(last.outcome.cut_by(Outcome::signaled(by)));
                }
                (Wish::Resize(_), Some(_)) => {}
                (Wish::End(outcome), None) => return Some(outcome),
                (Wish::Signal(signal), None) => self.waiting.signal(signal, self.client),
                (Wish::Resize(terminal), None) => self.waiting.resize(terminal),
            }
        }
        None
    }

    /// Tells init what waits, as far as there is room, and after the request itself.
    fn pass_on(&mut self) -> Result<(), ControlError> {
        while self.hello && self.last.is_none() && self.control.has_room() {
            let Some(request) = self.waiting.next() else {
                break;
            };
            self.control.ask(&request)?;
        }
        Ok(())
    }

    /// Moves bytes; whether any output came, or was taken.
    fn relay(&mut self) -> bool {
        if self.started && self.last.is_none() && self.stdin.at() == At::Open {
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
        let Some(last) = &mut self.last else {
            return Ok(None);
        };
        if !open {
            // Whoever hears of a bad end does not take the output for whole.
            let well = matches!(last.outcome, Outcome::Exited(_));
            let has_all = self.has_all();
            return match self.last.take() {
                Some(_) if well && !has_all => Err(ExecError::Lost),
                last => Ok(last.map(|last| last.outcome)),
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
        if self.last.is_none() {
            let (file, flags) = self.control.descriptor();
            fds.push(PollFd::new(file.as_fd(), flags));
        }
        let stdin = (self.started && self.last.is_none()).then_some(&self.stdin);
        let relays = [stdin, Some(&self.stdout), self.stderr.as_ref()];
        for relay in relays.into_iter().flatten() {
            if let Some((file, flags)) = relay.descriptor() {
                fds.push(PollFd::new(file.as_fd(), flags));
            }
        }
        let stopped = self.outputs().any(Relay::is_stopped);
        let time = match (moved || stopped, &self.last) {
            (true, _) => PollTimeout::ZERO,
            (false, Some(_)) => PollTimeout::from(100_u8),
            (false, None) if self.is_starting() => {
                let left = self
                    .start_deadline
                    .saturating_duration_since(Instant::now());
                // Rounded up, so that poll is not asked again and again at the end.
                let left = left + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            (false, None) => PollTimeout::NONE,
        };
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
