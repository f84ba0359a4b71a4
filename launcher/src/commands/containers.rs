// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki list`, `cki kill`: containers that run under a name.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use cki_launcher::entry::Entries;
use cki_session::{Signal, Status};
use nix::unistd::Pid;

use crate::cli::KillArgs;

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
