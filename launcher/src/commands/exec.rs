// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki exec`, `cki list`, `cki kill`: containers that run under a name.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, anyhow, bail};
use cki_frontend::UserTerminal;
use cki_launcher::entry::Entries;
use cki_launcher::session::client::{Client as _, Wish};
use cki_launcher::session::command_line::CommandLine;
use cki_session::complain;
use cki_session::{
    Event, Exec, LineBuffer, Outcome, ProcessId, Request, Signal, Status, StreamPorts, Terminal,
    decode, encode, exec, feature,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::cli::{ExecArgs, KillArgs};

/// A connection to a port of the container, and the number of its end here.
fn connect(sockets: &Path, port: u32) -> anyhow::Result<(UnixStream, u32)> {
    let mut stream = UnixStream::connect(sockets)
        .with_context(|| format!("cannot reach the container ({})", sockets.display()))?;
    writeln!(stream, "CONNECT {port}")?;
    // A byte at a time: what follows the line is not ours to read.
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') && line.len() < 64 {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            bail!("the container takes no more processes: its init does not listen");
        }
        line.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&line);
    let number = text
        .trim_end()
        .strip_prefix("OK ")
        .and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| anyhow!("the container's socket says {text:?}"))?;
    Ok((stream, number))
}

/// `cki exec`; the status of the process.
pub fn exec(args: &ExecArgs) -> anyhow::Result<Status> {
    let entries = Entries::default();
    let state = entries.find(&args.name)?;
    let terminal = args.process.tty.then(UserTerminal::of_streams);
    let terminal = terminal.transpose().context("cannot use the terminal")?;
    let has_terminal = terminal.is_some();
    let size = || {
        terminal
            .as_ref()
            .map_or(Terminal::USUAL, UserTerminal::size)
    };
    let mut process = args.process.process(args.argv.clone(), size)?;
    // What is not said is as for the container's program.
    if args.process.user.is_none() {
        process.user.clone_from(&state.process.user);
    }
    if args.process.workdir.is_none() {
        process.workdir.clone_from(&state.process.workdir);
    }
    process.env.splice(..0, state.process.env.iter().cloned());
    process.check()?;

    let sockets = entries.sockets(&state);
    let (stdin, stdin_port) = connect(&sockets, exec::port::STREAMS)?;
    let (stdout, stdout_port) = connect(&sockets, exec::port::STREAMS)?;
    let stderr = match has_terminal {
        true => None,
        false => Some(connect(&sockets, exec::port::STREAMS)?),
    };
    let (control, _) = connect(&sockets, exec::port::CONTROL)?;
    let request = Request::Exec(Box::new(Exec {
        id: ProcessId::MAIN,
        process,
        streams: StreamPorts {
            stdin: Some(stdin_port),
            stdout: Some(stdout_port),
            stderr: stderr.as_ref().map(|(_, port)| *port),
        },
    }));
    // Before any thread: all of them inherit the mask.
    let mut user = CommandLine::new(false, terminal).context("cannot wait for signals")?;
    let mut session = Control {
        stream: control,
        lines: LineBuffer::default(),
    };
    session.check_hello()?;
    session.say(&request)?;
    thread::spawn(move || {
        // Whoever has gone at either side is seen there.
        let _ = io::copy(&mut io::stdin(), &mut &stdin);
        let _ = stdin.shutdown(Shutdown::Write);
    });
    let output = thread::spawn(move || relay(stdout, io::stdout()));
    let errors = stderr.map(|(stream, _)| thread::spawn(move || relay(stream, io::stderr())));
    let outcome = session.serve(&mut user)?;
    drop(user);
    if !matches!(outcome, Outcome::Failed(_)) {
        let _ = output.join();
        let _ = errors.map(thread::JoinHandle::join);
    }
    if let Outcome::Failed(failure) = &outcome {
        complain(&format!("cki: {}", failure.message));
    }
    Ok(outcome.status())
}

/// Copies output as it comes, until either side ends.
fn relay(mut from: UnixStream, mut to: impl io::Write) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to
            .write_all(&bytes[..count])
            .and_then(|()| to.flush())
            .is_err()
        {
            return;
        }
    }
}

/// The messages with init of the container.
struct Control {
    stream: UnixStream,
    lines: LineBuffer,
}

impl Control {
    fn say(&mut self, request: &Request) -> anyhow::Result<()> {
        Ok(self.stream.write_all(&encode(request)?)?)
    }

    fn check_hello(&mut self) -> anyhow::Result<()> {
        let mut reader = BufReader::with_capacity(1, &self.stream);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let Event::Hello(hello) = decode(&line)? else {
            bail!("init of the container does not say hello");
        };
        hello
            .check()
            .map_err(|error| anyhow!("init of the container: {error}"))?;
        if !hello.features.iter().any(|name| name == feature::EXEC) {
            bail!("init of the container starts no more processes");
        }
        Ok(())
    }

    /// Passes on what the user wants until the process has ended.
    fn serve(&mut self, user: &mut CommandLine) -> anyhow::Result<Outcome> {
        let mut started = false;
        loop {
            let mut fds = [
                PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
                PollFd::new(user.descriptor(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let seen = fds.map(|fd| fd.revents().is_some_and(|flags| !flags.is_empty()));
            if seen[0] {
                let mut bytes = [0; 4096];
                match self.stream.read(&mut bytes) {
                    Ok(0) => bail!("the container has ended"),
                    Ok(count) => self.lines.push(&bytes[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error).context("the container has ended"),
                }
            }
            while let Some(line) = self.lines.next_line()? {
                match decode(&line)? {
                    Event::Ended { outcome, .. } => return Ok(outcome),
                    Event::Refused { message } if !started => {
                        bail!("init of the container: {message}")
                    }
                    event => {
                        started |= matches!(event, Event::Started { .. });
                        user.tell(&event);
                    }
                }
            }
            for wish in if seen[1] {
                user.wishes(started)
            } else {
                Vec::new()
            } {
                let id = ProcessId::MAIN;
                match wish {
                    Wish::Signal(signal) => self.say(&Request::Signal { id, signal })?,
                    Wish::Resize(terminal) => self.say(&Request::Resize { id, terminal })?,
                    Wish::End(outcome) => return Ok(outcome),
                }
            }
        }
    }
}

/// `cki list`.
pub fn list(json: bool) -> anyhow::Result<Status> {
    let states = Entries::default().all()?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&states)?)?;
        return Ok(Status::OK);
    }
    writeln!(out, "{:<24} {:>8} {:>8}  PROGRAM", "NAME", "PID", "MEMORY")?;
    for state in states {
        let (memory, program) = (state.memory.to_string(), state.process.argv.join(" "));
        writeln!(
            out,
            "{:<24} {:>8} {memory:>8}  {program}",
            state.name, state.pid
        )?;
    }
    Ok(Status::OK)
}

/// `cki kill`.
pub fn kill(args: &KillArgs) -> anyhow::Result<Status> {
    let state = Entries::default().find(&args.name)?;
    // The launcher passes on what it gets; SIGKILL is its own end, and the container's.
    let passed_on = cki_session::FORWARDED.contains(&args.signal) || args.signal == Signal::KILL;
    let number = nix::sys::signal::Signal::try_from(args.signal.number());
    let Some(signal) = number.ok().filter(|_| passed_on) else {
        bail!("signal {} cannot be passed on to a container", args.signal);
    };
    nix::sys::signal::kill(Pid::from_raw(state.pid), signal).context("cannot send the signal")?;
    Ok(Status::OK)
}
