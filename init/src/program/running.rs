// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program that runs: its streams, its terminal, and its end.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use cki_session::{Failure, FailureKind, Outcome, ProcessId, Signal, Terminal};
use nix::poll::PollFlags;

use crate::program::Started;
use crate::program::oom::{KernelLog, Shortage};
use crate::program::process;
use crate::program::pty::Pty;
use crate::program::pump::{Pump, non_blocking};

/// How long others may write to the terminal of a program that has ended.
const LINGER: Duration = Duration::from_secs(2);
/// How much they may write to it in that time, whoever takes how long for it. What the program itself has written is
/// less than fits in a terminal and a pump.
const FLOOD: u64 = 1 << 20;

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
    /// Until when what others write to its terminal is waited for. The time that the client takes is not counted.
    linger: Option<Instant>,
    /// When a stream was last looked after.
    last_turn: Instant,
    /// Bytes of output that the client had at its end.
    written_at_end: u64,
    /// What ended the wait for output that was left.
    given_up: Option<Signal>,
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
            linger: None,
            last_turn: Instant::now(),
            written_at_end: 0,
            given_up: None,
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

    /// It has ended, and the client has all its output; of a terminal that others still have, what came in time.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let late = self.linger.is_some_and(|end| Instant::now() >= end);
        let flooded = self.linger.is_some() && self.in_all() - self.written_at_end > FLOOD;
        let over = |pump: &Pump| pump.is_done() || flooded || late && pump.is_reading();
        self.ended.is_some() && self.output.iter().all(over)
    }

    /// Whether it has ended and the client does not take what it has written. What others hold open, and have written
    /// nothing to, is no output of its; so that this can be told, all that can be handed over now is.
    fn has_output_left(&mut self) -> bool {
        let mut left = false;
        for pump in &mut self.output {
            let all = pump.copy_what_is_there(FLOOD);
            left |= !all || pump.waits_for_sink();
        }
        self.ended.is_some() && left
    }

    fn in_all(&self) -> u64 {
        self.output.iter().map(Pump::written).sum()
    }

    /// When [`Running::is_over`] is to be asked again, if nothing happens until then.
    #[must_use]
    pub fn next_look(&self) -> Option<Duration> {
        let waits = self
            .output
            .iter()
            .all(|pump| pump.is_done() || pump.is_reading());
        let end = self.linger.filter(|_| waits)?;
        Some(end.saturating_duration_since(Instant::now()))
    }

    /// Takes note of its end. What is still written to its terminal by others comes to an end with them.
    pub fn end(&mut self, status: ExitStatus) {
        self.ended = Some(status);
        self.written_at_end = self.in_all();
        if self.terminal.take().is_some() {
            self.linger = Some(Instant::now() + LINGER);
        }
        self.last_turn = Instant::now();
        self.output.extend(self.direct.take().map(Pump::settling));
    }

    /// Sends a signal to its process group. Where it has ended already, one that ends programs gives its output up.
    ///
    /// # Errors
    /// Those of kill(2), but for a group that is gone while its leader waits to be reaped.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended.is_some() {
            // Others hold its output, or nobody takes it; who sends this has waited long enough.
            if signal.is_ending() {
                let left = self.has_output_left().then_some(signal);
                self.given_up = self.given_up.or(left);
                self.output.iter_mut().for_each(Pump::give_up);
            }
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
                    out_of_memory: shortage.is_some(),
                    out_of_page_tables: shortage == Some(Shortage::PageTables),
                }
            }
            // It has ended well, and who asked for it to end does not have all of what it said.
            (None, code) => match self.given_up {
                Some(signal) => Outcome::signaled(signal),
                // The kernel keeps eight bits of it.
                None => Outcome::Exited(code.unwrap_or_default() as u8),
            },
        }
    }

    /// How it is told to have ended when the container ends now, and all that runs there was killed: what its client
    /// has not taken by now is lost.
    pub fn cut(&mut self, log: &mut KernelLog) -> Outcome {
        let left = self.has_output_left();
        match self.ended.map(|_| self.outcome(log)) {
            None => Outcome::signaled(Signal::KILL),
            Some(Outcome::Exited(_)) if left => Outcome::Failed(Failure::new(
                FailureKind::Internal,
                "the container ended before all of its output was taken",
            )),
            Some(outcome) => outcome,
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
        let since = std::mem::replace(&mut self.last_turn, Instant::now());
        let waited = self.output.iter().any(Pump::is_writing);
        if let (Some(end), true) = (&mut self.linger, waited) {
            *end += since.elapsed();
        }
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
