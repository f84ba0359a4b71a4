// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build exec`, `list`, `stats`, `kill`: done by `cki` in a machine that stays up.

use std::io::Read;

use super::run;
use crate::context::Context;
use crate::ending::Ending;
use crate::error::Error;
use crate::place;
use crate::resident::{ExecArgs, In, KillArgs, ListArgs, StatsArgs};
use cki_frontend::UserTerminal;
use cki_machine::resident::{Up, Wanted};
use cki_machine::{Io, MachineError, TimeLimit};
use cki_session::{Outcome, Run, Status, Terminal};

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
    let words = ["cki", "stats", &args.container].into_iter().chain(json);
    without_input(context, &args.machine, Run::new(words))
}

pub(super) fn kill(context: &Context, args: &KillArgs) -> Result<Status, Error> {
    let signal = args.signal.to_string();
    let request = Run::new(["cki", "kill", &args.container, &signal]);
    without_input(context, &args.machine, request)
}

/// Has a machine that stays up carry out `request`, which reads nothing.
fn without_input(context: &Context, machine: &In, request: Run) -> Result<Status, Error> {
    let name = machine.name(context.machine.as_deref());
    in_machine(context, name, request, None, false)
}

/// Has a machine that stays up carry out `request`, in no container of its own. `terminal` is the user's, if the
/// program has one; `reads` says whether the program gets our standard input.
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
    let stdin: Box<dyn Read + Send> = match reads {
        true => Box::new(run::unbuffered(std::io::stdin())?),
        false => Box::new(std::io::empty()),
    };
    let stdout = run::unbuffered(std::io::stdout())?;
    let io = Io {
        terminal,
        ..Io::new(stdin, stdout, std::io::stderr())
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
    match &ended.outcome {
        Outcome::Failed(failure) => run::say(&failure.message),
        Outcome::Signaled {
            out_of_page_tables: true,
            ..
        } => run::say(
            "the container ran out of page tables, for which a part of its memory is set aside",
        ),
        Outcome::Signaled {
            out_of_memory: true,
            ..
        } => run::say("there was no memory left for the program"),
        _ => {}
    }
    if context.global.json && reads {
        Ending::of(&ended).write();
    }
    Ok(ended.outcome.status())
}
