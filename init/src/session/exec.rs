// SPDX-License-Identifier: MIT OR Apache-2.0

//! More processes in a container that runs, for clients of its host's (`cki_session::exec`).
//!
//! No client keeps init from anything: what is said to it waits in a queue of bounded length, and one that does not
//! take it has gone. Root of the container can: a file system of its own (FUSE) that never answers, over `/etc/passwd`
//! or a directory of programs, is waited for, as a look there is a system call of init's.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use cki_session::{
    Event, Exec, Failure, FailureKind, Heard, Hello, Isolation, Outcome, ProcessId, Request,
    Signal, exec, feature,
};
use nix::poll::PollFlags;

use crate::channel::Channel;
use crate::program;
use crate::program::oom::KernelLog;
use crate::program::process;
use crate::program::running::{Ends, Running};
use crate::session::failure::ServeError;
use crate::session::vsock::Listener;

/// What a process of a client can be given.
const FEATURES: &[&str] = &[
    feature::EXEC,
    feature::CAPABILITIES,
    feature::ULIMITS,
    feature::TERMINAL,
    feature::USER,
];
/// Streams that nobody has claimed yet, at most.
const UNCLAIMED_MAX: usize = 64;
/// How long one waits to be claimed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients at a time, at most.
const CLIENTS_MAX: usize = 64;
/// Processes of a client at a time, at most.
const PROCESSES_MAX: usize = 16;

/// A stream that no request has named yet.
#[derive(Debug)]
struct Unclaimed {
    /// The host's port.
    port: u32,
    connection: File,
    since: Instant,
}

/// Somebody who starts processes.
#[derive(Debug)]
struct ExecClient {
    channel: Channel,
    processes: Vec<Running>,
    gone: bool,
}

/// The clients, their processes, and who may become one.
#[derive(Debug)]
pub struct Execs {
    control: Listener,
    streams: Listener,
    unclaimed: Vec<Unclaimed>,
    clients: Vec<ExecClient>,
    kernel: String,
    /// The container's program has ended: nothing is started any more.
    closed: bool,
}

/// One of the descriptors that are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client comes.
    Control,
    /// A stream comes.
    Streams,
    /// This client says something, or takes what it is told.
    Client(usize),
    /// A stream of this client's process, both by their places.
    Stream(usize, usize, usize),
}

impl Execs {
    /// Listens for clients of the host's. `kernel` is what they are told of the kernel; one without vsock has no host
    /// that could ask, and gives `None`.
    ///
    /// # Errors
    /// When somebody else listens there, or a system call fails.
    pub fn listen(kernel: &str) -> Result<Option<Self>, ServeError> {
        let what = ServeError::system("cannot listen for `cki exec`");
        let control = match Listener::new(exec::port::CONTROL) {
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => return Ok(None),
            control => control.map_err(&what)?,
        };
        let streams = Listener::new(exec::port::STREAMS).map_err(what)?;
        Ok(Some(Execs {
            control,
            streams,
            unclaimed: Vec::new(),
            clients: Vec::new(),
            kernel: kernel.to_owned(),
            closed: false,
        }))
    }

    /// What is waited for.
    #[must_use]
    pub fn interests(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut interests = vec![
            (Source::Control, self.control.as_fd(), PollFlags::POLLIN),
            (Source::Streams, self.streams.as_fd(), PollFlags::POLLIN),
        ];
        for (at, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !client.channel.is_flushed());
            interests.push((Source::Client(at), client.channel.as_fd(), flags));
            for (number, process) in client.processes.iter().enumerate() {
                let streams = process.interests();
                interests
                    .extend(streams.map(|(stream, fd, flags)| {
                        (Source::Stream(at, number, stream), fd, flags)
                    }));
            }
        }
        interests
    }

    /// Does what has become possible for a descriptor, given what poll saw. The others keep their places.
    pub fn advance(&mut self, source: Source, seen: PollFlags) {
        match source {
            Source::Control => self.accept_client(),
            Source::Streams => self.accept_stream(),
            Source::Client(at) => {
                let Some(client) = self.clients.get_mut(at) else {
                    return;
                };
                match client.channel.receive() {
                    Ok(requests) => requests
                        .into_iter()
                        .for_each(|request| client.obey(request, &mut self.unclaimed, self.closed)),
                    Err(_) => client.gone = true,
                }
                client.flush();
            }
            Source::Stream(at, number, stream) => {
                let client = self.clients.get_mut(at);
                if let Some(process) = client.and_then(|client| client.processes.get_mut(number)) {
                    process.advance(stream, seen);
                }
            }
        }
    }

    fn accept_client(&mut self) {
        while let Ok(Some((connection, _))) = self.control.accept() {
            if self.clients.len() == CLIENTS_MAX {
                continue;
            }
            let mut client = ExecClient {
                channel: Channel::new(connection),
                processes: Vec::new(),
                gone: false,
            };
            client.tell(&Event::Hello(Hello::new(FEATURES, &self.kernel)));
            client.flush();
            self.clients.push(client);
        }
    }

    fn accept_stream(&mut self) {
        while let Ok(Some((connection, port))) = self.streams.accept() {
            self.unclaimed
                .retain(|stream| stream.port != port && stream.since.elapsed() < PATIENCE);
            if self.unclaimed.len() < UNCLAIMED_MAX {
                let since = Instant::now();
                self.unclaimed.push(Unclaimed {
                    port,
                    connection,
                    since,
                });
            }
        }
    }

    /// Takes note of the end of a process, if it is one of a client's.
    pub fn end(&mut self, pid: i32, status: ExitStatus) {
        let processes = self
            .clients
            .iter_mut()
            .flat_map(|client| &mut client.processes);
        let mut alive = processes.filter(|process| process.ended().is_none());
        if let Some(process) = alive.find(|process| process.pid() == pid) {
            process.end(status);
        }
    }

    /// When to look again, if nothing happens until then.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        let processes = self.clients.iter().flat_map(|client| &client.processes);
        processes.filter_map(Running::next_look).min()
    }

    /// The container's program has ended, and all other processes were killed: none is started after that. What is left
    /// of their output is still handed over until [`Execs::finish`].
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The container ends: tells the clients how their processes did, which were killed if they had not ended by
    /// themselves.
    pub fn finish(&mut self, log: &mut KernelLog) {
        for client in &mut self.clients {
            for mut process in std::mem::take(&mut client.processes) {
                let outcome = process.cut(log);
                client.tell_end(&process, outcome);
            }
            client.flush();
        }
    }

    /// Tells clients how their processes have ended, and forgets who has gone. To be called once all that poll saw was
    /// done.
    pub fn settle(&mut self, log: &mut KernelLog) {
        for client in &mut self.clients {
            let (over, running): (Vec<_>, Vec<_>) =
                client.processes.drain(..).partition(Running::is_over);
            client.processes = running;
            for process in over {
                let outcome = process.outcome(log);
                client.tell_end(&process, outcome);
            }
            client.flush();
            if client.gone {
                client.kill();
            }
        }
        self.clients.retain(|client| !client.gone);
    }
}

impl ExecClient {
    fn tell(&mut self, event: &Event) {
        self.gone |= self.channel.queue(event).is_err();
    }

    /// How much a process has written, which may still be on its way, and how it ended.
    fn tell_end(&mut self, process: &Running, outcome: Outcome) {
        let (id, (stdout, stderr)) = (process.id(), process.written());
        self.tell(&Event::Output { id, stdout, stderr });
        self.tell(&Event::Ended { id, outcome });
    }

    fn flush(&mut self) {
        self.gone |= self.channel.flush().is_err();
    }

    /// Ends its processes, which it can no longer hear of. Init reaps them as it does orphans.
    fn kill(&mut self) {
        for process in &mut self.processes {
            // It may have ended just now.
            let _ = process.signal(Signal::KILL);
        }
    }

    fn process(&mut self, id: ProcessId) -> Option<&mut Running> {
        self.processes.iter_mut().find(|process| process.id() == id)
    }

    fn obey(&mut self, request: Heard<Request>, unclaimed: &mut Vec<Unclaimed>, closed: bool) {
        let refused = match request {
            Ok(Request::Exec(_)) if closed => "the container's program has ended".to_owned(),
            Ok(Request::Exec(exec)) => match self.start(*exec, unclaimed) {
                Ok(()) => return,
                Err(why) => why,
            },
            Ok(Request::Signal { id, signal }) => match self
                .process(id)
                .map(|process| process.signal(signal))
            {
                Some(Ok(())) => return,
                Some(Err(error)) => format!("cannot send signal {signal} to process {id}: {error}"),
                None => format!("there is no process {id}"),
            },
            Ok(Request::Resize { id, terminal }) => {
                match self.process(id).map(|process| process.resize(terminal)) {
                    Some(Some(Ok(()))) => return,
                    Some(Some(Err(error))) => format!("cannot resize the terminal: {error}"),
                    Some(None) => format!("process {id} has no terminal"),
                    None => format!("there is no process {id}"),
                }
            }
            Ok(Request::Run(_)) => "the container runs its program already".to_owned(),
            Ok(Request::Clock { .. } | Request::Serve(_) | Request::Stop { .. }) => {
                "a container takes none of `clock`, `serve` and `stop`".to_owned()
            }
            Err(why) => why,
        };
        self.tell(&Event::Refused { message: refused });
    }

    /// Starts a process; an error is why that is not even tried.
    fn start(&mut self, exec: Exec, unclaimed: &mut Vec<Unclaimed>) -> Result<(), String> {
        let id = exec.id;
        if self.process(id).is_some() {
            return Err(format!("there is a process {id} already"));
        }
        if self.processes.len() == PROCESSES_MAX {
            return Err(format!(
                "a client has {PROCESSES_MAX} processes at most at a time"
            ));
        }
        let mut claim = |port: Option<u32>| match port {
            None => null().map_err(|error| format!("cannot open /dev/null: {error}")),
            Some(port) => match unclaimed.iter().position(|stream| stream.port == port) {
                Some(at) => Ok(unclaimed.swap_remove(at).connection),
                None => Err(format!("there is no stream of port {port}")),
            },
        };
        let ends = Ends {
            stdin: claim(exec.streams.stdin)?,
            stdout: claim(exec.streams.stdout)?,
            stderr: claim(exec.streams.stderr)?,
        };
        let failed = |kind, message| Outcome::Failed(Failure::new(kind, message));
        let started = match exec.process.check() {
            Err(error) => Err(failed(FailureKind::Request, error.to_string())),
            Ok(()) => program::start(&exec.process)
                .map_err(|error| failed(error.kind(), error.to_string())),
        };
        let running = started.and_then(|started| {
            let pid = process::id(&started.child);
            Running::new(id, started, ends).map_err(|error| {
                // It is nobody's, and reaped as an orphan.
                let _ = process::signal_group(pid, libc::SIGKILL);
                failed(
                    FailureKind::Internal,
                    format!("cannot use the process's streams: {error}"),
                )
            })
        });
        match running {
            Ok(running) => {
                let pid = running.pid();
                self.processes.push(running);
                let isolation = Isolation::None;
                self.tell(&Event::Started { id, pid, isolation });
            }
            Err(outcome) => self.tell(&Event::Ended { id, outcome }),
        }
        Ok(())
    }
}

/// Nothing to read, and all that is written is gone.
fn null() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}
