// SPDX-License-Identifier: MIT OR Apache-2.0

//! The client of `cki run` or `cki exec` with `--session-fd`: a program that speaks the protocol of `abi/session` on a
//! descriptor that it left open for us, a socket as a rule.
//!
//! It reads `hello` at once, then `started` when what it asked for was executed, `output` where any could have come,
//! and one `ended`, whatever happens. Only a `cki` that is killed says no last message; the client sees the end of the
//! file instead. A client that closes its end has gone, and what it asked for ends: its container with `cki run`, its
//! process with `cki exec`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use cki_session::gate::{FAILURE_SIZE, cut};
use cki_session::{
    Arrived, Container, ContainerName, Event, Failure, FailureKind, Hello, Incoming, Isolation,
    Outcome, Outgoing, ProcessId, Request, Run, Signal, feature, forwarded_here,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::client::{Client, Wish};
use crate::inherited::{self, InheritedError};
use crate::signals;
use crate::unblocked::{Unblocked, Way};

/// What a client is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A new container with a program in it.
    Run,
    /// A process in a container that runs.
    Exec,
}

impl Service {
    /// The optional parts of requests that are honoured.
    const fn features(self) -> &'static [&'static str] {
        match self {
            Service::Run => &[
                feature::CONTAINER,
                feature::DISKS,
                feature::NETWORK,
                feature::NAME,
                feature::PAGE_TABLES,
                feature::RATES,
                feature::VOLUMES,
                // These are for init of the container, which says itself what it honours.
                feature::ROOT,
                feature::CAPABILITIES,
                feature::ULIMITS,
                feature::TERMINAL,
                feature::USER,
            ],
            Service::Exec => &[
                feature::EXEC,
                // As above.
                feature::CAPABILITIES,
                feature::ULIMITS,
                feature::TERMINAL,
                feature::USER,
            ],
        }
    }
}

/// Why a session ends whose client has closed its end.
const GONE: &str = "whoever asked for it has gone";

/// Pieces of what a client says that are read in one turn, at most; others are to have theirs.
const READS: usize = 16;

/// A program that asked for a session.
#[derive(Debug)]
pub struct Descriptor {
    file: File,
    service: Service,
    input: Unblocked,
    incoming: Incoming,
    output: Unblocked,
    /// What it was told and has not taken. While there is no room, it is not listened to.
    outgoing: Outgoing,
    /// How many pieces may be read in this turn.
    reads: usize,
    /// The process of the session, once that is known.
    id: ProcessId,
    /// Signals to us, of a container whose name others know.
    signals: Option<SignalFd>,
    /// The last message was said.
    ended: bool,
}

/// What can be read at the moment.
enum Heard {
    Request(Request),
    /// A line that is no request of ours, and why; the next may be one.
    NotUnderstood(String),
    /// Nothing more for now.
    Nothing,
    /// The client has gone, or does not speak the protocol.
    End(String),
}

impl Descriptor {
    /// Takes over the inherited descriptor and says hello.
    ///
    /// # Errors
    /// [`InheritedError`] when it cannot be read and written.
    pub fn open(number: RawFd, service: Service) -> Result<Self, InheritedError> {
        let mut client = Self::new(inherited::both_ways(number)?, service)
            .map_err(|source| InheritedError::System { number, source })?;
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        client.say(&Event::Hello(Hello::new(service.features(), &release)));
        Ok(client)
    }

    /// A client that was told nothing yet.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(file: File, service: Service) -> io::Result<Self> {
        Ok(Descriptor {
            input: Unblocked::new(&file, Way::In)?,
            incoming: Incoming::default(),
            output: Unblocked::new(&file, Way::Out)?,
            outgoing: Outgoing::default(),
            file,
            service,
            reads: READS,
            id: ProcessId::MAIN,
            signals: None,
            ended: false,
        })
    }

    /// From now on signals to this process are the program's. To be called before any other thread is started, which
    /// inherits the mask.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn pass_signals_on(&mut self) -> io::Result<()> {
        let mut forwarded = forwarded_here()?;
        // It stops the launcher itself, and the container with it.
        forwarded.retain(|&signal| signal != Signal::TSTP);
        self.signals = Some(signals::take(forwarded)?);
        Ok(())
    }

    /// Waits for the request to run a program in a container: the container, and the rest of the request,
    /// which is for its init.
    ///
    /// # Errors
    /// Why it is not carried out.
    pub fn wait_for_run(&mut self) -> Result<(Container, Run), Failure> {
        let mut run = self.wait_for_request()?;
        let container = run.container.take();
        let container = container.ok_or_else(|| {
            refused("a launcher runs programs in containers, and the request has no `container`")
        })?;
        Ok((container, run))
    }

    /// Waits for the request to start a process in a container that runs: its name, and the rest of the request.
    ///
    /// # Errors
    /// Why it is not carried out.
    pub fn wait_for_exec(&mut self) -> Result<(ContainerName, Run), Failure> {
        let mut run = self.wait_for_request()?;
        let name = run.exec.take();
        let name = name.ok_or_else(|| refused("the request names no container with `exec`"))?;
        Ok((name, run))
    }

    fn wait_for_request(&mut self) -> Result<Run, Failure> {
        let run = loop {
            self.reads = READS;
            match self.hear() {
                Heard::Request(Request::Run(run)) => break *run,
                Heard::Request(_) => {
                    return Err(refused("another request before `run`"));
                }
                Heard::NotUnderstood(why) => return Err(refused(why)),
                Heard::End(why) => return Err(Failure::new(FailureKind::Internal, why)),
                Heard::Nothing => self.wait(PollFlags::POLLIN),
            }
        };
        self.id = run.id;
        run.check().map_err(|error| refused(error.to_string()))?;
        match run.unsupported(self.service.features()) {
            Some(name) => Err(refused(format!("a launcher does not support `{name}`"))),
            None => Ok(run),
        }
    }

    /// Says the last message; whether somebody was there to take it.
    #[must_use]
    pub fn end(mut self, outcome: &Outcome) -> bool {
        self.say_ended(outcome)
    }

    /// The one message that a client is waited for to take; the container is gone by then.
    fn say_ended(&mut self, outcome: &Outcome) -> bool {
        self.ended = true;
        let (id, mut outcome) = (self.id, outcome.clone());
        if let Outcome::Failed(failure) = &mut outcome {
            // A container may have had a say in it, and the message has to be one that can be said.
            cut(&mut failure.message, FAILURE_SIZE);
        }
        self.say(&Event::Ended { id, outcome });
        loop {
            match self.write() {
                Ok(true) => return true,
                Ok(false) => self.wait(PollFlags::POLLOUT),
                Err(_) => return false,
            }
        }
    }

    /// Says something, at once or as soon as the client has room. One that has gone is seen when it is
    /// listened to.
    fn say(&mut self, event: &Event) {
        // There is room: beyond what it is answered, for which it has to be listened to, it is told what a gate lets
        // pass, and how it ended.
        let _ = self.outgoing.push(event);
        let _ = self.write();
    }

    /// Writes what the client has not been told yet; whether that was all.
    fn write(&mut self) -> io::Result<bool> {
        self.outgoing.write_to(&mut self.output)
    }

    /// Whether a signal is not for the process: there is none yet, and it is not waited for. (A program that is to run
    /// in a container of its own gets its signals, however early.)
    fn ends(&self, signal: Signal, started: bool) -> bool {
        self.service == Service::Exec && !started && signal.is_ending()
    }

    /// What the client has said, without waiting. Poll tells of what is left because the turn was over.
    fn hear(&mut self) -> Heard {
        loop {
            match self.incoming.hear() {
                Ok(Some(Ok(request))) => return Heard::Request(request),
                Ok(Some(Err(why))) => return Heard::NotUnderstood(why),
                Ok(None) if self.reads == 0 => return Heard::Nothing,
                Ok(None) => {}
                Err(error) => return Heard::End(format!("whoever asked for it sent {error}")),
            }
            self.reads -= 1;
            match self.incoming.read_from(&mut self.input) {
                Ok(Arrived::Bytes(_)) => {}
                Ok(Arrived::Nothing) => return Heard::Nothing,
                Ok(Arrived::End) => return Heard::End(GONE.to_owned()),
                Err(error) => return Heard::End(format!("{GONE}: {error}")),
            }
        }
    }

    fn wait(&self, flags: PollFlags) {
        let mut fds = [PollFd::new(self.file.as_fd(), flags)];
        // Whatever it says, the next call tells.
        let _ = poll(&mut fds, PollTimeout::NONE);
    }
}

/// A request that is not carried out.
fn refused(why: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Request, why)
}

impl Client for Descriptor {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLOUT, !self.outgoing.is_empty());
        // Requests that are refused have answers, which it has to take.
        flags.set(PollFlags::POLLIN, self.outgoing.has_room());
        flags
    }

    fn signals(&self) -> Option<BorrowedFd<'_>> {
        self.signals.as_ref().map(AsFd::as_fd)
    }

    fn wishes(&mut self, started: bool) -> Vec<Wish> {
        let mut wishes = Vec::new();
        while let Some(Ok(Some(info))) = self.signals.as_ref().map(SignalFd::read_signal) {
            wishes.extend(Signal::new(info.ssi_signo as i32).map(Wish::Signal));
        }
        let end = |why| Wish::End(Outcome::Failed(Failure::new(FailureKind::Internal, why)));
        let written = self.write();
        self.reads = READS;
        loop {
            if !self.outgoing.has_room() {
                // It is not listened to; so this tells that it has gone.
                wishes.extend(written.err().map(|error| end(format!("{GONE}: {error}"))));
                return wishes;
            }
            let refused = match self.hear() {
                Heard::Nothing => return wishes,
                Heard::End(why) => {
                    wishes.push(end(why));
                    return wishes;
                }
                Heard::Request(Request::Signal { id, signal })
                    if id == self.id && self.ends(signal, started) =>
                {
                    wishes.push(Wish::End(Outcome::signaled(signal)));
                    return wishes;
                }
                Heard::Request(Request::Signal { id, signal }) if id == self.id => {
                    wishes.push(Wish::Signal(signal));
                    continue;
                }
                Heard::Request(Request::Resize { id, terminal }) if id == self.id => {
                    wishes.push(Wish::Resize(terminal));
                    continue;
                }
                Heard::Request(Request::Signal { id, .. } | Request::Resize { id, .. }) => {
                    format!("there is no process {id}")
                }
                Heard::Request(Request::Exec(_)) => {
                    "`exec` is for connections of its own".to_owned()
                }
                Heard::Request(Request::Run(_)) => "`run` twice".to_owned(),
                Heard::Request(
                    Request::Clock { .. } | Request::Serve(_) | Request::Stop { .. },
                ) => "a launcher takes none of `clock`, `serve` and `stop`".to_owned(),
                Heard::NotUnderstood(why) => why,
            };
            self.say(&Event::Refused { message: refused });
        }
    }

    fn up(&mut self, _isolation: Isolation) {}

    fn tell(&mut self, event: &Event) {
        self.say(event);
    }
}

/// A panic of ours comes this way.
impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.ended {
            let why = "the launcher failed; standard error has the reason";
            self.say_ended(&Outcome::Failed(Failure::new(FailureKind::Internal, why)));
        }
    }
}
