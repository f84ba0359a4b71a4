// SPDX-License-Identifier: MIT OR Apache-2.0

//! Machines to measure on, as `run` has them, and what is built for them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::app::App;
use crate::cli::{HostKernel, RunArgs};
use crate::commands::run::say;
use crate::contents::{Contents, Packages};
use crate::context::Context;
use crate::disks;
use crate::error::Error;
use crate::inputs;
use crate::network::NetworkArgs;
use crate::prepare::{prepare, request, start_as};
use crate::resident;
use cki_frontend::ProgramOptions;
use cki_machine::{Ended, Io, Machine, TimeLimit};
use cki_measure::Error as NotMeasured;
use cki_measure::lab::{Given, Job, Kernel, Lab, Scratch};
use cki_nix::cache;
use cki_process::progress::Step;
use cki_session::Terminal;

/// As `run` would be asked for it.
pub(super) fn args(job: &Job) -> Result<RunArgs, Error> {
    let mut program = ProgramOptions::default();
    if job.tmp {
        let tmp = "/tmp".parse();
        program.tmpfs = vec![tmp.map_err(|error| Error::Bench(format!("/tmp: {error}")))?];
    }
    Ok(RunArgs {
        runtime: job.runtime,
        host_kernel: match job.kernel {
            Kernel::Cki => HostKernel::Cki,
            Kernel::Xen => HostKernel::Xen,
        },
        machine: Some(resident::OWN.to_owned()),
        name: None,
        contents: Contents {
            packages: packages(&job.packages),
            closure: job.closure.clone(),
            ..Contents::default()
        },
        memory: job.memory,
        cpus: job.cpus,
        timeout: None,
        program,
        network: NetworkArgs::none(),
        disk: job.disks.clone(),
        command: job.command.iter().map(Into::into).collect(),
    })
}

/// Pinned ones, if there are any.
fn packages(names: &[&str]) -> Packages {
    match names {
        [] => Packages::default(),
        names => Packages::pinned(names),
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

struct Directory(cache::Scratch);

impl Scratch for Directory {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn failed(error: impl Into<Error>) -> NotMeasured {
    NotMeasured::Lab(Box::new(error.into()))
}

impl Lab for Context {
    fn outputs(&self, names: &[&str]) -> Result<BTreeMap<String, PathBuf>, NotMeasured> {
        let targets = Self::outputs(self, names).map_err(failed)?.into_iter();
        Ok(targets.map(|(name, target)| (name, target.out)).collect())
    }

    fn commit(&self) -> Result<Option<String>, NotMeasured> {
        let state = self.checkout.state().map_err(failed)?;
        Ok(state.and_then(|state| state.head))
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>, NotMeasured> {
        Ok(Box::new(Directory(self.cache.scratch().map_err(failed)?)))
    }

    fn step(&self, what: &str) -> Step {
        self.progress.step(what)
    }

    fn say(&self, text: &str) {
        if !self.global.quiet {
            say(text);
        }
    }

    fn disk_of(&self, package: &Path) -> Result<PathBuf, NotMeasured> {
        let contents = Contents {
            closure: Some(package.to_owned()),
            ..Contents::default()
        };
        let app = App::provide(self, &contents).map_err(failed)?;
        Ok(app.disk.file().to_owned())
    }

    fn layers_of(&self, names: &[&str]) -> Result<Vec<PathBuf>, NotMeasured> {
        let plan = inputs::plan(self, &packages(names)).map_err(failed)?;
        self.app_layers(&plan).map_err(failed)
    }

    fn prepare(&self, job: &Job) -> Result<(Machine, Vec<File>), NotMeasured> {
        let args = args(job).map_err(failed)?;
        let (disks, files) = disks::open(&args.disk).map_err(failed)?;
        let (mut machine, _) = prepare(self, &args).map_err(failed)?;
        machine.disks = disks;
        Ok((machine, files))
    }

    fn execute(
        &self,
        machine: &Machine,
        job: &Job,
        given: Given,
        ready: Box<dyn FnOnce() + '_>,
    ) -> Result<(Ended, String), NotMeasured> {
        let output = Sink::default();
        let io = Io {
            disks: given.disks,
            ..Io::new(given.stdin, output.clone(), io::stderr())
        };
        let args = args(job).map_err(failed)?;
        let mut request = request(&args, machine.verbose, || Terminal::USUAL)?;
        start_as(machine, &mut request);
        let limit = TimeLimit::new(given.timeout);
        let ended = cki_machine::run(machine, request, limit, io, |_| {}, ready)?;
        let bytes = output.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((ended, String::from_utf8_lossy(&bytes).into_owned()))
    }
}
