// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program on a machine, and what it put out.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cli::{HostKernel, RunArgs, Runtime};
use crate::contents::Contents;
use crate::error::Error;
use crate::network::NetworkArgs;
use crate::prepare::request;
use crate::resident;
use cki_frontend::ProgramOptions;
use cki_machine::{Ended, Io, Machine, TimeLimit};
use cki_session::{Container, Status, Terminal};

/// Line of the kernel's log with which it starts init.
pub(super) const INIT_LINE: &str = "Run /init as init process";

/// As `run --runtime RUNTIME -- WORDS`.
pub(in crate::commands) fn program(runtime: Runtime, words: &[&str]) -> RunArgs {
    RunArgs {
        runtime,
        host_kernel: HostKernel::Cki,
        machine: Some(resident::OWN.to_owned()),
        name: None,
        contents: Contents::default(),
        memory: Container::DEFAULT_MEMORY,
        cpus: 1,
        timeout: None,
        program: ProgramOptions::default(),
        network: NetworkArgs::none(),
        disk: Vec::new(),
        command: words.iter().map(Into::into).collect(),
    }
}

/// Memory that the program's output goes to.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sink.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a program is given beside its options.
#[derive(Debug, Default)]
pub(in crate::commands) struct Given {
    /// The files of the machine's disks.
    pub disks: Vec<File>,
    /// What it reads.
    pub stdin: &'static [u8],
    /// How long it may run.
    pub timeout: Option<Duration>,
}

/// Runs a program, which has to end with status 0; what it put out. `ready` is called before it starts.
pub(in crate::commands) fn execute(
    machine: &Machine,
    args: &RunArgs,
    given: Given,
    ready: impl FnOnce(),
) -> Result<(Ended, String), Error> {
    let (ended, output) = execute_any(machine, args, given, ready)?;
    let status = ended.outcome.status();
    if status != Status::OK {
        return Err(Error::Bench(format!(
            "{:?} ended with status {}",
            args.command, status.0
        )));
    }
    Ok((ended, output))
}

/// As [`execute`], whatever becomes of the program.
pub(in crate::commands) fn execute_any(
    machine: &Machine,
    args: &RunArgs,
    given: Given,
    ready: impl FnOnce(),
) -> Result<(Ended, String), Error> {
    let output = Sink::default();
    let io = Io {
        disks: given.disks,
        ..Io::new(given.stdin, output.clone(), io::stderr())
    };
    let request = request(args, machine, || Terminal::USUAL)?;
    let ended = cki_machine::run(
        machine,
        request,
        TimeLimit::new(given.timeout),
        io,
        |_| {},
        ready,
    )?;
    let bytes = output.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((ended, String::from_utf8_lossy(&bytes).into_owned()))
}
