// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki exec`.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use cki_frontend::UserTerminal;
use cki_launcher::container_names::{ContainerNames, NameError, State};
use cki_launcher::exec::connect::ConnectError;
use cki_launcher::exec::control::ControlError;
use cki_launcher::exec::driver::{Connections, Driver, ExecRequest, START_LIMIT};
use cki_launcher::exec::error::ExecError;
use cki_launcher::exec::waiting::Waiting;
use cki_launcher::module::isolation;
use cki_launcher::module::real::System;
use cki_launcher::session::caller::Caller;
use cki_launcher::session::client::Client;
use cki_launcher::session::descriptor::{Descriptor, Service};
use cki_launcher::session::streams::Streams;
use cki_session::{ContainerName, Failure, FailureKind, Outcome, Run, Status, Terminal};

use super::explain;
use crate::cli::ExecArgs;
use crate::sentence::sentence;

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
        explain(&outcome, None);
    }
    Ok(outcome.status())
}

fn for_client(
    device: &Path,
    name: &ContainerName,
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
        None => target.drive(device, connections?, run, waiting, Streams::ours()?, client),
    }
}

/// The options are the request, and the user is told on standard error.
fn for_user(device: &Path, args: &ExecArgs) -> anyhow::Result<Status> {
    let name = args.name.as_ref().context("no container is named")?;
    let target = Target::find(name)?;
    let terminal = args.process.terminal().context("cannot use the terminal")?;
    let size = || {
        terminal
            .as_ref()
            .map_or(Terminal::USUAL, UserTerminal::size)
    };
    let run = args.process.beside(name, args.argv.clone(), size)?;
    run.check()?;
    // Until there are connections, signals do to us what they do to anybody.
    let connections = target.connect(&run, &mut || true)?;
    let mut client = Caller::new(false, terminal).context("cannot wait for signals")?;
    let waiting = Waiting::default();
    let outcome = target.drive(
        device,
        connections,
        run,
        waiting,
        Streams::ours()?,
        &mut client,
    )?;
    // The terminal is as it was before anything is written to it.
    drop(client);
    explain(&outcome, None);
    Ok(outcome.status())
}

/// A container that runs.
pub(super) struct Target {
    pub(super) names: ContainerNames,
    pub(super) state: State,
}

impl Target {
    pub(super) fn find(name: &ContainerName) -> Result<Self, NameError> {
        let names = ContainerNames::default();
        let state = names.find(name)?;
        Ok(Target { names, state })
    }

    /// Whether it still runs.
    pub(super) fn runs(&self) -> Result<bool, NameError> {
        match self.names.find(&self.state.name) {
            // Another container may have got its name meanwhile.
            Ok(found) => Ok(found == self.state),
            Err(NameError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Connections for the process that `run` asks for, as long as somebody waits for them.
    pub(super) fn connect(
        &self,
        run: &Run,
        waits: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Connections> {
        let Target { names, state } = self;
        let deadline = Instant::now() + START_LIMIT;
        let mut unknown = None;
        // An error: nobody can say whether it runs.
        let mut runs = || {
            self.runs().unwrap_or_else(|error| {
                unknown = Some(error);
                false
            })
        };
        let stderr = run.process.terminal.is_none();
        let mut goes_on = || waits() && runs();
        let connections = Connections::open(&names.sockets(state), stderr, deadline, &mut goes_on);
        match unknown {
            Some(error) => Err(error).with_context(|| self.title()),
            None => connections.with_context(|| self.title()),
        }
    }

    /// Serves the process to its end.
    pub(super) fn drive(
        &self,
        device: &Path,
        connections: Connections,
        run: Run,
        waiting: Waiting,
        streams: Streams,
        client: &mut dyn Client,
    ) -> anyhow::Result<Outcome> {
        let wanted = ExecRequest {
            id: run.id,
            process: run.process.beside(&self.state.process),
            isolation: isolation(&System::open(device)?.info()?),
            waiting,
        };
        let driven = || Driver::new(connections, wanted, streams, client)?.drive();
        driven().with_context(|| self.title())
    }

    fn title(&self) -> String {
        format!("container {}", self.state.name)
    }
}

/// What sort of failure an error is.
fn kind(error: &anyhow::Error) -> FailureKind {
    if let Some(error) = error.downcast_ref::<NameError>() {
        return error.kind();
    }
    let is_of_the_request = match error.downcast_ref() {
        Some(ExecError::Control(ControlError::TooLong) | ExecError::Refused(_)) => true,
        _ => matches!(error.downcast_ref(), Some(ConnectError::Ended)),
    };
    match is_of_the_request {
        true => FailureKind::Request,
        false => FailureKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cki_session::{Memory, Process};

    use super::*;

    #[test]
    fn a_container_has_ended_only_if_nobody_has_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let names = ContainerNames::below(directory.path());
        let state = State {
            name: "box".parse().unwrap(),
            pid: 7,
            started: 0,
            memory: Memory::constant(64),
            process: Process::new(["true"]),
        };
        let held = names.take(&state).unwrap();
        let target = Target { names, state };
        let error = || {
            let run = Run::new(["true"]);
            let error = target.connect(&run, &mut || true).unwrap_err();
            (sentence(&error), kind(&error))
        };
        let file = directory.path().join("box/state.json");
        fs::write(&file, "{}").unwrap();
        let (text, of) = error();
        assert!(text.contains("state.json"), "{text}");
        assert!(!text.contains("it has ended"), "{text}");
        assert_eq!(of, FailureKind::Internal);
        drop(held);
        let ended = (
            "container box: it has ended".to_owned(),
            FailureKind::Request,
        );
        assert_eq!(error(), ended);
    }
}
