// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a session from the start of QEMU to its end.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{FailureKind, GuestMessage, HostMessage, Isolation, Run, encode, exit};
use rustix::process::Signal;

use super::SessionError;
use super::console::Tail;
use super::machine::Machine;
use super::ports::Ports;
use super::relay::{self, Relayed};
use cki_process::exec::describe;
use cki_process::exit::Status;

/// Longest time from QEMU's start to the program's. It takes seconds; a loaded computer may need more,
/// and past this the machine hangs.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Time between the signal and the end of the machine when the time is over.
const GRACE: Duration = Duration::from_secs(2);

/// Time for QEMU to end once init has closed all ports.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Our side of the program's streams.
pub struct Io {
    /// What the program reads.
    pub stdin: Box<dyn Read + Send>,
    /// Where its standard output goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where its standard error goes.
    pub stderr: Box<dyn Write + Send>,
    /// Where the kernel console goes, besides being kept for reports.
    pub console: Option<Box<dyn Write + Send>>,
}

/// How the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this status (0..=255).
    Exited(u8),
    /// By a signal.
    Signaled {
        /// Linux signal number.
        signal: i32,
        /// The kernel ran out of memory.
        oom: bool,
    },
    /// It was never started; the sentence says why, the status is 126 or 127.
    NotRun {
        /// Init's sentence.
        message: String,
        /// Status that a shell would give.
        status: Status,
    },
    /// Its time was over.
    TimedOut,
    /// We got this signal.
    Interrupted(i32),
    /// Nobody reads its standard output any more.
    BrokenPipe,
}

impl Outcome {
    /// Exit status of `cki-build run`.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Exited(status) => Status(*status),
            Self::Signaled { signal, .. } | Self::Interrupted(signal) => Status::signaled(*signal),
            Self::NotRun { status, .. } => *status,
            Self::TimedOut => Status::TIMEOUT,
            Self::BrokenPipe => Status::signaled(Signal::PIPE.as_raw()),
        }
    }
}

/// When things happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// QEMU was started.
    pub start: Instant,
    /// Init said hello.
    pub hello: Option<Instant>,
    /// The program was executed.
    pub started: Option<Instant>,
    /// Its first byte of output came.
    pub first_byte: Option<Instant>,
    /// QEMU ended.
    pub end: Instant,
}

/// A session that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How the program ended.
    pub outcome: Outcome,
    /// When things happened.
    pub times: Timeline,
    /// Kernel release of the machine, once init has said it.
    pub kernel: Option<String>,
    /// What kept the program from the machine, once it was started.
    pub isolation: Option<Isolation>,
}

#[derive(Debug)]
enum Event {
    Message(GuestMessage),
    ControlEnd(Result<(), String>),
    First(Instant),
    Stdout(Relayed),
    Stderr(Relayed),
    Qemu(ExitStatus),
    Signal(i32),
}

/// Ends a session from another thread.
#[derive(Debug, Clone)]
pub struct Interrupt(Sender<Event>);

impl Interrupt {
    /// Ends the session as `signal` (a Linux signal number) would end a program.
    pub fn signal(&self, signal: i32) {
        // The session may be over already, which is what was wanted.
        let _ = self.0.send(Event::Signal(signal));
    }
}

/// Starts the machine, has it run `run`, and gives how that ended. The machine is gone when this returns.
///
/// `interruptible` gets a handle that ends the session early; `ready` is called once, before any output.
/// The kernel kills the machine when the calling thread ends.
///
/// # Errors
/// [`SessionError`] when it cannot be said how the program ended.
pub fn run(
    machine: &Machine,
    run: Run,
    timeout: Option<Duration>,
    io: Io,
    interruptible: impl FnOnce(Interrupt),
    ready: impl FnOnce(),
) -> Result<Ended, SessionError> {
    let request = encode(&HostMessage::Run(run)).map_err(|error| {
        SessionError::Request(format!(
            "the arguments and the environment together are {error}"
        ))
    })?;
    std::fs::File::open(&machine.app).map_err(|source| SessionError::AppImage {
        path: machine.app.clone(),
        source,
    })?;
    let (events, queue) = mpsc::channel();
    interruptible(Interrupt(events.clone()));
    let mut session = Session::start(machine, io, events)?;
    session.timeout = timeout;
    let result = session.drive(&queue, &request, ready);
    // Whatever happened above, nothing stays behind.
    session.kill();
    result
}

struct Session {
    control: UnixStream,
    /// Open until the end: QEMU drops what it has not read when the socket is closed altogether.
    _stdin_port: UnixStream,
    qemu: Arc<duct::Handle>,
    console: Tail,
    qemu_log: Tail,
    console_thread: Option<thread::JoinHandle<()>>,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    times: Timeline,
    kernel: Option<String>,
    isolation: Option<Isolation>,
}

impl Session {
    fn start(machine: &Machine, io: Io, events: Sender<Event>) -> Result<Self, SessionError> {
        let (ports, inherited) = Ports::new().map_err(SessionError::Sockets)?;
        let (log_reader, log_writer) = os_pipe::pipe().map_err(SessionError::Sockets)?;
        let expression = machine
            .command()
            .expression(Signal::KILL)
            .stdin_null()
            .stdout_null()
            .stderr_file(log_writer)
            .before_spawn(move |child| {
                use std::os::unix::process::CommandExt as _;
                // Ctrl-C is for us: in our process group QEMU would end by itself at the same time,
                // and its end would be taken for a crash.
                child.process_group(0);
                inherited.give_to(child)
            });
        let start = Instant::now();
        let qemu = expression.start().map_err(|source| SessionError::Start {
            qemu: machine.qemu.clone(),
            source,
        })?;
        drop(expression);
        let qemu = Arc::new(qemu);
        let control = ports.control.try_clone().map_err(SessionError::Sockets)?;
        let (console, qemu_log) = (Tail::default(), Tail::default());
        let (console_tail, log_tail) = (console.clone(), qemu_log.clone());
        let log_thread = thread::spawn(move || log_tail.follow(log_reader, None));
        let console_thread = thread::spawn(move || {
            console_tail.follow(ports.console, io.console);
            // Both are complete when this thread is.
            let _ = log_thread.join();
        });
        let (mut stdin, to_guest) = (io.stdin, ports.stdin);
        let stdin_port = to_guest.try_clone().map_err(SessionError::Sockets)?;
        thread::spawn(move || relay::input(&mut *stdin, to_guest));
        relay_output(ports.stdout, io.stdout, events.clone(), true);
        relay_output(ports.stderr, io.stderr, events.clone(), false);
        let (sender, messages) = (events.clone(), ports.control);
        thread::spawn(move || {
            let end = relay::messages(messages, |message| {
                let _ = sender.send(Event::Message(message));
            });
            let _ = sender.send(Event::ControlEnd(end));
        });
        let waiting = Arc::clone(&qemu);
        thread::spawn(move || {
            if let Ok(output) = waiting.wait() {
                let _ = events.send(Event::Qemu(output.status));
            }
        });
        Ok(Self {
            control,
            _stdin_port: stdin_port,
            qemu,
            console,
            qemu_log,
            console_thread: Some(console_thread),
            timeout: None,
            deadline: Some(start + START_LIMIT),
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

    fn drive(
        &mut self,
        queue: &Receiver<Event>,
        request: &[u8],
        ready: impl FnOnce(),
    ) -> Result<Ended, SessionError> {
        let mut ready = Some(ready);
        let (mut last, mut status, mut timed_out) = (None, None, false);
        // Control, standard output, standard error: what init said comes to an end before QEMU's status counts.
        let mut open = 3;
        let mut ending = false;
        loop {
            if let (Some(status), 0) = (status, open) {
                self.times.end = Instant::now();
                return self.conclude(last, status, timed_out);
            }
            if last.is_some() && open == 0 && !ending {
                ending = true;
                self.deadline = Some(Instant::now() + END_LIMIT);
            }
            let event = match self.next(queue) {
                Some(event) => event,
                None if ending => {
                    self.kill();
                    return Err(self.crash("did not end after the program had".to_owned()));
                }
                None if self.times.started.is_none() => {
                    self.kill();
                    return Err(self.crash(format!(
                        "did not start the program within {} s",
                        START_LIMIT.as_secs()
                    )));
                }
                None if timed_out => {
                    self.kill();
                    return Ok(self.ended(Outcome::TimedOut));
                }
                None => {
                    timed_out = true;
                    self.say(&HostMessage::Signal {
                        signal: Signal::TERM.as_raw(),
                    });
                    self.deadline = Some(Instant::now() + GRACE);
                    continue;
                }
            };
            match event {
                Event::Message(GuestMessage::Hello { version, kernel }) => {
                    self.times.hello = Some(Instant::now());
                    self.kernel = Some(kernel);
                    if version != cki_session::VERSION {
                        return Err(SessionError::Protocol(format!("version {version}")));
                    }
                    if let Some(ready) = ready.take() {
                        ready();
                        self.send(request);
                    }
                }
                Event::Message(GuestMessage::Started { isolation, .. }) => {
                    let now = Instant::now();
                    self.isolation = Some(isolation);
                    self.times.started = Some(now);
                    self.deadline = self.timeout.and_then(|timeout| now.checked_add(timeout));
                }
                Event::Message(message) => {
                    self.times.started.get_or_insert_with(Instant::now);
                    last.get_or_insert(message);
                }
                Event::ControlEnd(Ok(()))
                | Event::Stdout(Relayed::End)
                | Event::Stderr(Relayed::End | Relayed::BrokenPipe) => {
                    open -= 1;
                }
                Event::ControlEnd(Err(breach)) => return Err(SessionError::Protocol(breach)),
                Event::First(at) => {
                    self.times.first_byte =
                        Some(self.times.first_byte.map_or(at, |other| other.min(at)));
                }
                Event::Stdout(Relayed::BrokenPipe) => {
                    self.kill();
                    return Ok(self.ended(Outcome::BrokenPipe));
                }
                Event::Stdout(Relayed::Failed(source)) => {
                    return Err(SessionError::Output {
                        stream: "standard output",
                        source,
                    });
                }
                Event::Stderr(Relayed::Failed(source)) => {
                    return Err(SessionError::Output {
                        stream: "standard error",
                        source,
                    });
                }
                Event::Qemu(ended) => {
                    self.deadline = None;
                    status = Some(ended);
                }
                Event::Signal(signal) => {
                    self.kill();
                    return Ok(self.ended(Outcome::Interrupted(signal)));
                }
            }
        }
    }

    /// The next event, or `None` when the deadline has passed.
    fn next(&self, queue: &Receiver<Event>) -> Option<Event> {
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
        last: Option<GuestMessage>,
        status: ExitStatus,
        timed_out: bool,
    ) -> Result<Ended, SessionError> {
        if timed_out {
            return Ok(self.ended(Outcome::TimedOut));
        }
        let last = match last {
            Some(last) if status.code() == Some(exit::STATUS_ENDED) => last,
            Some(_) => {
                return Err(self.crash(format!(
                    "{} after the program had ended, so its output may be incomplete",
                    describe(status)
                )));
            }
            None => {
                let when = match (self.times.hello, self.times.started) {
                    (None, _) => "before its init was up",
                    (_, None) => "before the program was started",
                    _ => "while the program was running",
                };
                return Err(self.crash(format!("{} {when}", describe(status))));
            }
        };
        let outcome = match last {
            GuestMessage::Exited { status } => match u8::try_from(status) {
                Ok(status) => Outcome::Exited(status),
                Err(_) => return Err(SessionError::Protocol(format!("exit status {status}"))),
            },
            GuestMessage::Signaled { signal, oom } => Outcome::Signaled { signal, oom },
            GuestMessage::Failed { message, kind } => match kind {
                FailureKind::NotFound | FailureKind::NotExecutable => Outcome::NotRun {
                    message,
                    status: Status(kind.exit_status()),
                },
                FailureKind::Image => {
                    return Err(SessionError::Guest {
                        message,
                        console: String::new(),
                    });
                }
                FailureKind::Internal => {
                    let console = self.console_text();
                    return Err(SessionError::Guest { message, console });
                }
            },
            GuestMessage::Hello { .. } | GuestMessage::Started { .. } => {
                return Err(SessionError::Protocol(
                    "a last message that is none".to_owned(),
                ));
            }
        };
        Ok(self.ended(outcome))
    }

    fn ended(&self, outcome: Outcome) -> Ended {
        Ended {
            outcome,
            times: self.times,
            kernel: self.kernel.clone(),
            isolation: self.isolation,
        }
    }

    fn crash(&mut self, how: String) -> SessionError {
        SessionError::Crashed {
            how,
            console: self.console_text(),
            qemu: self.qemu_log.text(),
        }
    }

    /// The end of the console, complete: QEMU is gone when this is called.
    fn console_text(&mut self) -> String {
        if let Some(thread) = self.console_thread.take() {
            let _ = thread.join();
        }
        self.console.text()
    }

    fn say(&mut self, message: &HostMessage) {
        if let Ok(line) = encode(message) {
            self.send(&line);
        }
    }

    fn send(&mut self, line: &[u8]) {
        // When this fails the machine is gone, which its own event tells.
        if let Err(error) = self.control.write_all(line) {
            tracing::debug!(%error, "control port");
        }
    }

    fn kill(&mut self) {
        // It fails when QEMU is gone already.
        if let Err(error) = self.qemu.kill() {
            tracing::debug!(%error, "killing the emulator");
        }
        if let Err(error) = self.qemu.wait() {
            tracing::debug!(%error, "waiting for the emulator");
        }
        self.times.end = Instant::now();
    }
}

fn relay_output(
    from: UnixStream,
    mut to: Box<dyn Write + Send>,
    events: Sender<Event>,
    is_stdout: bool,
) {
    thread::spawn(move || {
        let Ok(rest) = from.try_clone() else { return };
        let result = relay::output(from, &mut *to, |at| {
            let _ = events.send(Event::First(at));
        });
        let ended = matches!(result, Relayed::End);
        let _ = events.send(if is_stdout {
            Event::Stdout(result)
        } else {
            Event::Stderr(result)
        });
        if !ended {
            relay::drain(rest);
        }
    });
}
