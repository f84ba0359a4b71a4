// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki list`, `cki kill`: containers that run under a name.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use cki_launcher::entry::Entries;
use cki_session::{Signal, Status, printable};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

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
        let memory = state.memory.to_string();
        // The arguments may be an image's.
        let program = printable(&state.process.argv.join(" "));
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
    let entries = Entries::default();
    let state = entries.find(&args.name)?;
    // The launcher passes on what it gets; SIGKILL is its own end, and the container's.
    let passed_on = cki_session::FORWARDED.contains(&args.signal) || args.signal == Signal::KILL;
    let number = rustix::process::Signal::from_named_raw(args.signal.number());
    let Some(signal) = number.filter(|_| passed_on) else {
        bail!("signal {} cannot be passed on to a container", args.signal);
    };
    let pid = Pid::from_raw(state.pid).context("its launcher has no process")?;
    let cannot = "cannot send the signal";
    let launcher = pidfd_open(pid, PidfdFlags::empty()).context(cannot)?;
    // The process that was opened is the launcher, and not one that has its number since, if it still holds its name.
    if entries.find(&args.name)?.pid != state.pid {
        bail!(
            "another container called {} has started just now",
            args.name
        );
    }
    pidfd_send_signal(&launcher, signal).context(cannot)?;
    Ok(Status::OK)
}
