//! A session: one program, run by the container's init, from the main thread's point of view.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{FailureKind, GuestMessage, HostMessage, Run, VERSION, encode, port as names};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::machine::{Machine, port};
use super::outcome::{Outcome, SessionError};
use super::report;
use super::streams::{ControlPort, Event, Events, Inbox, Outgoing, Stream};
use super::vcpu::{self, End};
use crate::device::Vcpu;
use crate::virtio::console::{Console, PortIo};

/// Time for the program to end after a signal of ours, before its container is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Time for the vCPU's thread to come back after the container was killed.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Longest time that poll waits; a deadline further away is looked at again.
const POLL_MAX: Duration = Duration::from_secs(60);

/// Signals that end a session: the program gets them first.
const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];
/// Signals that are passed to the program and nothing else.
const PASSED: [Signal; 4] = [
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGALRM,
];

/// Our side of the program's streams. Descriptors of their own, so that closing them hurts nobody.
#[derive(Debug)]
pub struct Io {
    /// What the program reads.
    pub stdin: File,
    /// Where its standard output goes.
    pub stdout: File,
    /// Where its standard error goes.
    pub stderr: File,
}

impl Io {
    fn try_clone(&self) -> io::Result<Io> {
        Ok(Io {
            stdin: self.stdin.try_clone()?,
            stdout: self.stdout.try_clone()?,
            stderr: self.stderr.try_clone()?,
        })
    }

    /// The device with the ports of a session. What comes over the control port goes to `events`.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated.
    pub fn ports(&self, events: &Events, outgoing: &Outgoing) -> io::Result<Console> {
        let io = self.try_clone()?;
        let control = ControlPort::new(events.clone(), outgoing.clone());
        let ends: [Box<dyn PortIo>; port::COUNT] = [
            Box::new(control),
            Box::new(Stream::Input(io.stdin)),
            Box::new(Stream::Output(io.stdout)),
            Box::new(Stream::Output(io.stderr)),
        ];
        let named = names::ALL.map(str::to_owned).into_iter().zip(ends);
        Ok(Console::new(named.collect()))
    }
}

/// What a session is to do.
#[derive(Debug)]
pub struct Plan {
    /// The program; `None` only connects the kernel's console to our streams, until the guest ends.
    pub run: Option<Run>,
    /// How long the program may run.
    pub timeout: Option<Duration>,
    /// How long the container may take until the program runs.
    pub start_limit: Duration,
}

/// Blocks the signals that a session handles and gives the descriptor that tells them. To be called
/// before any other thread is started, which inherits the mask.
///
/// # Errors
/// Those of the system calls.
pub fn take_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in ENDING.into_iter().chain(PASSED) {
        mask.add(signal);
    }
    mask.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&mask, flags)?)
}

/// A started container with everything that its session needs.
pub struct Session {
    /// Devices and memory.
    pub machine: Arc<Machine>,
    /// The vCPU, which gets a thread.
    pub vcpu: Box<dyn Vcpu>,
    /// Messages for init.
    pub outgoing: Outgoing,
    /// What the other thread says.
    pub inbox: Inbox,
    /// See [`take_signals`].
    pub signals: SignalFd,
    /// Our streams.
    pub io: Io,
}

impl Session {
    /// Runs the container to its end; it is gone on return. `confine` is called once both threads
    /// exist and before the guest runs; `ready` when init has said hello.
    ///
    /// # Errors
    /// [`SessionError`] when it cannot be said how the program ended.
    pub fn run(
        mut self,
        plan: Plan,
        confine: impl FnOnce() -> Result<(), SessionError>,
        ready: impl FnOnce(),
    ) -> Result<Outcome, SessionError> {
        let request = plan.run.map(HostMessage::Run).as_ref().map(encode);
        let request = request
            .transpose()
            .map_err(|error| SessionError::Request(error.to_string()))?;
        let (go, gone) = mpsc::channel::<()>();
        let (up, is_up) = mpsc::channel::<()>();
        let (machine, mut vcpu) = (Arc::clone(&self.machine), self.vcpu);
        thread::Builder::new()
            .name("vcpu0".to_owned())
            .spawn(move || {
                // Its own start is over: what it asks of the kernel from now on is in the filter.
                let _ = up.send(());
                if gone.recv().is_ok() {
                    let end = vcpu::run(&mut *vcpu, &machine);
                    machine.events().send(Event::End(end));
                }
            })
            .map_err(host("cannot start a thread"))?;
        // It sends before anything else, so this does not fail.
        let _ = is_up.recv();
        confine()?;
        let mut driver = Driver {
            machine: &self.machine,
            outgoing: &self.outgoing,
            request,
            ready: Some(ready),
            timeout: plan.timeout,
            start_limit: plan.start_limit,
            deadline: Some(Instant::now() + plan.start_limit),
            hello: false,
            started: false,
            ending: None,
            typing: true,
        };
        if driver.request.is_none() {
            driver.deadline = plan.timeout.and_then(|t| Instant::now().checked_add(t));
            driver.started = true;
        }
        // The thread waits for this; it is there, since it was spawned.
        let _ = go.send(());
        let (result, ended) = driver.drive(&mut self.inbox, &self.signals, &mut self.io);
        self.machine.kill();
        if !ended {
            wait_for_end(&self.inbox);
        }
        result
    }
}

fn host(what: &'static str) -> impl Fn(io::Error) -> SessionError {
    move |source| SessionError::Host { what, source }
}

/// Waits until the vCPU's thread is out of the guest, so that the module can free everything at once.
fn wait_for_end(inbox: &Inbox) {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.receiver.recv_timeout(left) {
            Ok(Event::End(_)) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Why we are ending the program.
#[derive(Clone, Copy)]
enum Ending {
    Time,
    Signal(i32),
}

struct Driver<'s, R> {
    machine: &'s Machine,
    outgoing: &'s Outgoing,
    request: Option<Vec<u8>>,
    ready: Option<R>,
    timeout: Option<Duration>,
    start_limit: Duration,
    deadline: Option<Instant>,
    hello: bool,
    started: bool,
    ending: Option<Ending>,
    /// Our standard input has not ended (console only).
    typing: bool,
}

type Step = Option<Result<Outcome, SessionError>>;

impl<R: FnOnce()> Driver<'_, R> {
    /// The result, and whether the vCPU's thread has ended.
    fn drive(
        &mut self,
        inbox: &mut Inbox,
        signals: &SignalFd,
        io: &mut Io,
    ) -> (Result<Outcome, SessionError>, bool) {
        loop {
            while let Ok(event) = inbox.receiver.try_recv() {
                let ended = matches!(event, Event::End(_));
                if let Some(result) = self.event(event) {
                    return (result, ended);
                }
            }
            let step = self
                .check_output()
                .or_else(|| self.check_time())
                .or_else(|| self.wait(inbox, signals, io));
            if let Some(result) = step {
                return (result, false);
            }
        }
    }

    fn is_session(&self) -> bool {
        self.request.is_some() || self.hello
    }

    fn event(&mut self, event: Event) -> Step {
        match event {
            Event::Protocol(error) => Some(Err(SessionError::Protocol(error))),
            Event::End(end) => Some(self.ended(&end)),
            Event::Message(GuestMessage::Hello { version, .. }) => {
                if version != VERSION || self.hello {
                    return Some(Err(SessionError::Protocol(format!(
                        "it has version {version} of the session protocol, here it is {VERSION}"
                    ))));
                }
                self.hello = true;
                if let Some(ready) = self.ready.take() {
                    ready();
                }
                if let Some(request) = self.request.take() {
                    self.outgoing.push(&request);
                    self.machine.poll();
                }
                None
            }
            Event::Message(GuestMessage::Started { .. }) => {
                self.started = true;
                if self.ending.is_none() {
                    self.deadline = self.timeout.and_then(|t| Instant::now().checked_add(t));
                }
                None
            }
            // Init has handed over all output before it says one of these.
            Event::Message(GuestMessage::Exited { status }) => {
                Some(match (self.ending, u8::try_from(status)) {
                    (Some(ending), _) => Ok(outcome_of(ending)),
                    (None, Ok(status)) => Ok(Outcome::Exited(status)),
                    (None, Err(_)) => Err(SessionError::Protocol(format!("exit status {status}"))),
                })
            }
            Event::Message(GuestMessage::Signaled { signal, oom }) => Some(Ok(self
                .ending
                .map_or(Outcome::Signaled { signal, oom }, outcome_of))),
            Event::Message(GuestMessage::Failed { message, kind }) => Some(match kind {
                FailureKind::NotFound | FailureKind::NotExecutable => Ok(Outcome::NotRun {
                    message,
                    status: kind.exit_status(),
                }),
                FailureKind::Image => Err(SessionError::Init {
                    message,
                    console: String::new(),
                }),
                FailureKind::Internal => Err(SessionError::Init {
                    message,
                    console: self.machine.console_text(),
                }),
            }),
        }
    }

    fn ended(&self, end: &End) -> Result<Outcome, SessionError> {
        if let Some(ending) = self.ending {
            return Ok(outcome_of(ending));
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
        if let Some(ending) = self.ending {
            return Some(Ok(outcome_of(ending)));
        }
        if !self.started {
            return Some(Err(SessionError::Hangs {
                seconds: self.start_limit.as_secs(),
                console: self.machine.console_text(),
            }));
        }
        self.end(Ending::Time, Signal::SIGTERM as i32)
    }

    /// Begins to end the program; ends at once where there is none to tell.
    fn end(&mut self, ending: Ending, signal: i32) -> Step {
        // A second signal: whoever sends it does not want to wait.
        if self.ending.is_some() || !self.hello || !self.started {
            return Some(Ok(outcome_of(self.ending.unwrap_or(ending))));
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

    /// Waits for something to happen, and does what is to be done about signals and streams.
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
        let signalled = seen(1);
        drop(fds);
        // Nothing to read is no error: somebody else's wake-up was ours too.
        let _ = inbox.wake.read();
        if signalled {
            while let Ok(Some(info)) = signals.read_signal() {
                if let Some(step) = self.signal(info.ssi_signo as i32) {
                    return Some(step);
                }
            }
        }
        if streams && typing {
            self.type_in(&mut io.stdin);
        } else if streams {
            self.machine.poll();
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

fn outcome_of(ending: Ending) -> Outcome {
    match ending {
        Ending::Time => Outcome::TimedOut,
        Ending::Signal(signal) => Outcome::Interrupted(signal),
    }
}
