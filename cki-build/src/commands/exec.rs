// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build exec`, `list`, `stats`, `kill`: done by `cki` in a machine that stays up.

use std::io::{self, Write};

use super::run;
use crate::context::Context;
use crate::ending::Ending;
use crate::error::Error;
use crate::place;
use crate::resident::{ExecArgs, In, KillArgs, ListArgs, StatsArgs};
use cki_frontend::UserTerminal;
use cki_machine::resident::{Up, Wanted};
use cki_machine::{Io, MachineError, TimeLimit};
use cki_session::{FailureKind, Outcome, Run, Status, Terminal};

pub(super) fn exec(context: &Context, args: &ExecArgs) -> Result<Status, Error> {
    let terminal = args.process.terminal().map_err(Error::Terminal)?;
    let size = || {
        terminal
            .as_ref()
            .map_or(Terminal::USUAL, UserTerminal::size)
    };
    let request = args
        .process
        .beside(&args.container, args.command.clone(), size)
        .map_err(|error| MachineError::Request(error.to_string()))?;
    in_machine(
        context,
        args.machine.name(context.machine.as_deref()),
        request,
        terminal,
        true,
    )
}

pub(super) fn list(context: &Context, args: &ListArgs) -> Result<Status, Error> {
    let json = context.global.json.then_some("--json");
    let words = ["cki", "list"].into_iter().chain(json);
    without_input(context, &args.machine, Run::new(words))
}

pub(super) fn stats(context: &Context, args: &StatsArgs) -> Result<Status, Error> {
    let json = context.global.json.then_some("--json");
    let words = ["cki", "stats", args.container.as_str()]
        .into_iter()
        .chain(json);
    without_input(context, &args.machine, Run::new(words))
}

pub(super) fn kill(context: &Context, args: &KillArgs) -> Result<Status, Error> {
    let signal = args.signal.to_string();
    let request = Run::new(["cki", "kill", args.container.as_str(), &signal]);
    without_input(context, &args.machine, request)
}

/// Has a machine that stays up carry out `request`, which reads nothing.
fn without_input(context: &Context, machine: &In, request: Run) -> Result<Status, Error> {
    let name = machine.name(context.machine.as_deref());
    in_machine(context, name, request, None, false)
}

/// Has a machine that stays up carry out `request`, in no container of its own. `terminal` is the user's, if the
/// program has one; `reads` says whether the program gets our standard input. One that does not is `cki`.
pub(super) fn in_machine(
    context: &Context,
    machine: &str,
    request: Run,
    terminal: Option<UserTerminal>,
    reads: bool,
) -> Result<Status, Error> {
    let up = Up::expect(&place::directory(context, machine)?)?;
    let sound = request.check();
    sound.map_err(|error| MachineError::Request(error.to_string()))?;
    let stdout = run::unbuffered(io::stdout())?;
    let io = match reads {
        true => Io::new(run::unbuffered(io::stdin())?, stdout, io::stderr()),
        false => Io::new(io::empty(), stdout, AsOurs::new(io::stderr())),
    };
    let io = Io { terminal, ..io };
    let whose = match request.exec {
        Some(_) => "container",
        None => "machine",
    };
    let lease = up.lease(Wanted::default(), Vec::new())?;
    let ended = cki_machine::run_in(
        lease,
        request,
        TimeLimit::NONE,
        io,
        run::forward_signals,
        || {},
    )?;
    // How much memory that has was said when it was made.
    if let Some(sentence) = ended.outcome.explanation(whose, None) {
        run::say(&sentence);
    }
    let is_missing =
        matches!(&ended.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::NotFound);
    if is_missing && whose == "container" {
        run::say("a package is added when the container is started: `run --deb PKG`");
    }
    if context.global.json && reads {
        Ending::of(&ended).write();
    }
    Ok(ended.outcome.status())
}

/// How `cki` begins what it says, and how we do.
const ITS: &[u8] = b"cki: ";
const OURS: &[u8] = b"cki-build: ";

/// Standard error of `cki`, whose sentences are told as ours: whoever reads them has typed `cki-build`, and may not
/// know that another program is in the machine.
struct AsOurs<W> {
    to: W,
    /// How much of [`ITS`] the line has begun with, which is kept back (`cki` ends no line there); `None` behind that.
    begun: Option<usize>,
}

impl<W: Write> AsOurs<W> {
    fn new(to: W) -> Self {
        AsOurs { to, begun: Some(0) }
    }
}

impl<W: Write> Write for AsOurs<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = Vec::with_capacity(bytes.len() + OURS.len());
        for &byte in bytes {
            if let Some(begun) = self.begun {
                if byte == ITS[begun] {
                    self.begun = Some(begun + 1).filter(|&begun| begun < ITS.len());
                    if self.begun.is_none() {
                        text.extend(OURS);
                    }
                    continue;
                }
                text.extend(&ITS[..begun]);
            }
            text.push(byte);
            self.begun = (byte == b'\n').then_some(0);
        }
        self.to.write_all(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&str]) -> String {
        let mut out = Vec::new();
        let mut to = AsOurs::new(&mut out);
        for piece in pieces {
            to.write_all(piece.as_bytes()).expect("memory");
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_cki_says_in_the_machine_is_told_as_ours() {
        for (pieces, text) in [
            (&["cki: no container\n"][..], "cki-build: no container\n"),
            (
                &["ck", "i", ": a\nck", "i: b\n"],
                "cki-build: a\ncki-build: b\n",
            ),
            (&["cki", "d: cki: a\n"], "ckid: cki: a\n"),
            (&["c\ncki: ", "a"], "c\ncki-build: a"),
        ] {
            assert_eq!(told(pieces), text, "{pieces:?}");
        }
    }
}
