// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program that runs: its streams, its terminal, and its end.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use cki_session::{Outcome, ProcessId, Signal, Terminal};
use nix::poll::PollFlags;

use crate::oom::{KernelLog, Shortage};
use crate::process;
use crate::program::Started;
use crate::pty::Pty;
use crate::pump::{Pump, non_blocking};

/// The client's ends of the standard streams, non-blocking.
#[derive(Debug)]
pub struct Ends {
    /// What the program is to read.
    pub stdin: File,
    /// Where its output goes.
    pub stdout: File,
    /// Where its errors go, unless it has a terminal.
    pub stderr: File,
}

/// A program that runs, or has ended and still has output for the client.
#[derive(Debug)]
pub struct Running {
    id: ProcessId,
    pid: i32,
    input: Option<Pump>,
    output: Vec<Pump>,
    /// The client's end that the program writes to itself, as long as it lives.
    direct: Option<File>,
    is_direct: bool,
    terminal: Option<Pty>,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Connects a program to its client.
    ///
    /// # Errors
    /// When our ends of its streams cannot be used.
    pub fn new(id: ProcessId, started: Started, ends: Ends) -> io::Result<Self> {
        let Started {
            mut child,
            terminal,
        } = started;
        let mut direct = None;
        let (input, output) = match (&terminal, child.stdin.take()) {
            // All that is written comes out of the one end.
            (Some(pty), _) => (
                Some(Pump::to_terminal(ends.stdin, non_blocking(pty.master()?)?)),
                vec![Pump::new(non_blocking(pty.master()?)?, ends.stdout)],
            ),
            (None, Some(stdin)) => (
                Some(Pump::new(ends.stdin, pipe(Some(stdin))?)),
                vec![
                    Pump::new(pipe(child.stdout.take())?, ends.stdout),
                    Pump::new(pipe(child.stderr.take())?, ends.stderr),
                ],
            ),
            // It reads and writes the client's ends itself.
            (None, None) => {
                direct = Some(ends.stdout);
                (
                    None,
                    vec![Pump::new(pipe(child.stderr.take())?, ends.stderr)],
                )
            }
        };
        Ok(Running {
            id,
            pid: process::id(&child),
            input,
            output,
            is_direct: direct.is_some(),
            direct,
            terminal,
            ended: None,
        })
    }

    /// The client's number for it.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// The kernel's number for it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its end, once that was seen.
    #[must_use]
    pub fn ended(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// It has ended, and the client has all its output.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some() && self.output.iter().all(Pump::is_done)
    }

    /// Takes note of its end. What is still written to its terminal by others comes to an end with them.
    pub fn end(&mut self, status: ExitStatus) {
        self.ended = Some(status);
        self.terminal = None;
        self.output.extend(self.direct.take().map(Pump::settling));
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// Those of kill(2), but for a group that is gone while its leader waits to be reaped.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        match process::signal_group(self.pid, signal.number()) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives its terminal another size; `None` when it has none.
    pub fn resize(&self, size: Terminal) -> Option<io::Result<()>> {
        self.terminal.as_ref().map(|pty| pty.resize(size))
    }

    /// How it ended; `log` knows whether that was for lack of memory.
    #[must_use]
    pub fn outcome(&self, log: &mut KernelLog) -> Outcome {
        let status = self.ended.unwrap_or_default();
        match (status.signal().and_then(Signal::new), status.code()) {
            (Some(signal), _) => {
                let killed = (signal == Signal::KILL).then(|| log.says_killed(self.pid));
                let shortage = killed.flatten();
                Outcome::Signaled {
                    signal,
                    oom: shortage.is_some(),
                    page_tables: shortage == Some(Shortage::PageTables),
                }
            }
            // The kernel keeps eight bits of it.
            (None, code) => Outcome::Exited(code.unwrap_or_default() as u8),
        }
    }

    /// Bytes of standard output and of standard error that went to the client by way of init.
    #[must_use]
    pub fn written(&self) -> (u64, u64) {
        let written = |at: usize| self.output.get(at).map_or(0, Pump::written);
        match self.is_direct {
            true => (0, written(0)),
            false => (written(0), written(1)),
        }
    }

    fn pumps(&self) -> impl Iterator<Item = &Pump> {
        self.output.iter().chain(&self.input)
    }

    /// What its streams wait for: the number of the stream, and what to poll.
    pub fn interests(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>, PollFlags)> {
        let pumps = self.pumps().enumerate();
        pumps.filter_map(|(number, pump)| pump.interest().map(|(fd, flags)| (number, fd, flags)))
    }

    /// Does what can be done for a stream, given what poll saw.
    pub fn advance(&mut self, number: usize, seen: PollFlags) {
        let mut pumps = self.output.iter_mut().chain(&mut self.input);
        if let Some(pump) = pumps.nth(number) {
            pump.advance(seen);
        }
    }
}

/// Our end of a pipe, non-blocking.
fn pipe(end: Option<impl Into<OwnedFd>>) -> io::Result<File> {
    non_blocking(end.ok_or(io::ErrorKind::NotFound)?.into())
}
