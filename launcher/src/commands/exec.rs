// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki exec`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use cki_frontend::UserTerminal;
use cki_launcher::entry::{Entries, State};
use cki_launcher::exec::driver::{Connections, Driver, ExecError};
use cki_launcher::session::command_line::CommandLine;
use cki_launcher::session::streams::Streams;
use cki_session::{Outcome, Process, Status, Terminal, complain};

use crate::cli::ExecArgs;

/// Time in which a container that is still starting has to take the command.
const START_LIMIT: Duration = Duration::from_secs(30);

/// `cki exec`; the status of the process.
pub fn exec(args: &ExecArgs) -> anyhow::Result<Status> {
    let entries = Entries::default();
    let state = entries.find(&args.name)?;
    let terminal = args.process.tty.then(UserTerminal::of_streams);
    let terminal = terminal.transpose().context("cannot use the terminal")?;
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
    process
        .limits
        .splice(..0, state.process.limits.iter().copied());
    process.capabilities = state.process.capabilities.with(&process.capabilities);
    process.check()?;
    let outcome = run(&entries, &state, process, terminal)
        .with_context(|| format!("container {}", state.name))?;
    match &outcome {
        Outcome::Signaled {
            page_tables: true, ..
        } => complain(
            "cki: the container ran out of page tables, for which a part of its memory is set aside, and its \
             kernel killed the program",
        ),
        Outcome::Signaled { oom: true, .. } => {
            complain("cki: the container ran out of memory and its kernel killed the program");
        }
        Outcome::Failed(failure) => complain(&format!("cki: {}", failure.message)),
        _ => {}
    }
    Ok(outcome.status())
}

fn run(
    entries: &Entries,
    state: &State,
    process: Process,
    terminal: Option<UserTerminal>,
) -> Result<Outcome, ExecError> {
    // Until there are connections, signals do to us what they do to anybody.
    let deadline = Instant::now() + START_LIMIT;
    let runs = || entries.find(&state.name).is_ok_and(|found| found == *state);
    let stderr = process.terminal.is_none();
    let connections = Connections::open(&entries.sockets(state), stderr, deadline, &runs)?;
    let mut client = CommandLine::new(false, terminal)?;
    Driver::new(connections, process, Streams::ours()?, &mut client)?.drive()
}
