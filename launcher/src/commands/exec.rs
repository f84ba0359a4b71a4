// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki exec`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cki_frontend::UserTerminal;
use cki_launcher::entry::{Entries, EntryError, State};
use cki_launcher::exec::connect::ConnectError;
use cki_launcher::exec::control::ControlError;
use cki_launcher::exec::driver::{Connections, Driver, ExecError, Wanted};
use cki_launcher::exec::waiting::Waiting;
use cki_launcher::module::isolation;
use cki_launcher::module::real::System;
use cki_launcher::session::client::Client;
use cki_launcher::session::command_line::CommandLine;
use cki_launcher::session::descriptor::{Descriptor, Service};
use cki_launcher::session::streams::Streams;
use cki_session::{Failure, FailureKind, Outcome, Run, Status, Terminal, complain};

use crate::cli::ExecArgs;
use crate::sentence::sentence;

/// Time in which a container that is still starting has to take the command.
const START_LIMIT: Duration = Duration::from_secs(30);

/// `cki exec`; the status of the process. How it ended is said to whoever asked: on the descriptor, or on standard
/// error.
pub fn exec(device: &Path, args: &ExecArgs) -> anyhow::Result<Status> {
    let Some(number) = args.session_fd else {
        return for_user(device, args);
    };
    let mut client = Descriptor::open(number, Service::Exec).context("--session-fd")?;
    let outcome = match client.wait_for_exec() {
        Ok((name, run)) => for_client(device, &name, run, &mut client)
            .unwrap_or_else(|error| Outcome::Failed(Failure::new(kind(&error), sentence(&error)))),
        Err(failure) => Outcome::Failed(failure),
    };
    if !client.end(&outcome) {
        explain(&outcome);
    }
    Ok(outcome.status())
}

fn for_client(
    device: &Path,
    name: &str,
    run: Run,
    client: &mut Descriptor,
) -> anyhow::Result<Outcome> {
    let target = Target::find(name)?;
    let (mut waiting, mut end) = (Waiting::default(), None);
    let connections = target.connect(&run, &mut || {
        end = end.take().or_else(|| waiting.hear(client));
        end.is_none()
    });
    match end {
        Some(outcome) => Ok(outcome),
        None => target.drive(device, connections?, run, waiting, client),
    }
}

/// The options are the request, and the user is told on standard error.
fn for_user(device: &Path, args: &ExecArgs) -> anyhow::Result<Status> {
    let name = args.name.as_deref().unwrap_or_default();
    let target = Target::find(name)?;
    let terminal = args.process.tty.then(UserTerminal::of_streams);
    let terminal = terminal.transpose().context("cannot use the terminal")?;
    let size = || {
        terminal
            .as_ref()
            .map_or(Terminal::USUAL, UserTerminal::size)
    };
    let run = args.process.beside(name, args.argv.clone(), size)?;
    run.check()?;
    // Until there are connections, signals do to us what they do to anybody.
    let connections = target.connect(&run, &mut || true)?;
    let mut client = CommandLine::new(false, terminal).context("cannot wait for signals")?;
    let waiting = Waiting::default();
    let outcome = target.drive(device, connections, run, waiting, &mut client)?;
    // The terminal is as it was before anything is written to it.
    drop(client);
    explain(&outcome);
    Ok(outcome.status())
}

/// A container that runs.
struct Target {
    entries: Entries,
    state: State,
}

impl Target {
    fn find(name: &str) -> Result<Self, EntryError> {
        let entries = Entries::default();
        let state = entries.find(name)?;
        Ok(Target { entries, state })
    }

    /// Connections for the process that `run` asks for, as long as somebody waits for them.
    fn connect(&self, run: &Run, waits: &mut dyn FnMut() -> bool) -> anyhow::Result<Connections> {
        let Target { entries, state } = self;
        let deadline = Instant::now() + START_LIMIT;
        // Another container may have got its name meanwhile.
        let runs = || entries.find(&state.name).is_ok_and(|found| found == *state);
        let stderr = run.process.terminal.is_none();
        let mut goes_on = || waits() && runs();
        Connections::open(&entries.sockets(state), stderr, deadline, &mut goes_on)
            .with_context(|| self.title())
    }

    /// Serves the process to its end.
    fn drive(
        &self,
        device: &Path,
        connections: Connections,
        run: Run,
        waiting: Waiting,
        client: &mut dyn Client,
    ) -> anyhow::Result<Outcome> {
        let wanted = Wanted {
            id: run.id,
            process: run.process.beside(&self.state.process),
            isolation: isolation(&System::open(device)?.info()?),
            waiting,
        };
        let driven = || Driver::new(connections, wanted, Streams::ours()?, client)?.drive();
        driven().with_context(|| self.title())
    }

    fn title(&self) -> String {
        format!("container {}", self.state.name)
    }
}

/// What sort of failure an error is.
fn kind(error: &anyhow::Error) -> FailureKind {
    let is_of_the_request = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(EntryError::Name(_) | EntryError::Missing(_)), _) => true,
        (_, Some(ExecError::Control(ControlError::TooLong) | ExecError::Refused(_))) => true,
        _ => matches!(error.downcast_ref(), Some(ConnectError::Ended)),
    };
    match is_of_the_request {
        true => FailureKind::Request,
        false => FailureKind::Internal,
    }
}

/// Says what the status alone does not.
fn explain(outcome: &Outcome) {
    match outcome {
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
}
