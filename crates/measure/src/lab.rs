// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who lends machines to measure on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cki_disk::DiskOption;
use cki_frontend::Runtime;
use cki_machine::{Ended, Machine};
use cki_process::progress::Step;
use cki_session::{Container, Memory};

use crate::error::Error;

/// The kernel of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Ours.
    Cki,
    /// Debian's own, as the first guest of Debian's Xen.
    Xen,
}

/// A program on a machine of its own, as `run --runtime RUNTIME -- WORDS` has it.
#[derive(Debug, Clone)]
pub struct Job {
    /// On what.
    pub runtime: Runtime,
    /// The machine's.
    pub kernel: Kernel,
    /// Of the container, or of the machine without one.
    pub memory: Memory,
    /// Processors of the machine.
    pub cpus: u32,
    /// Packages of Debian in its root file system, as they are pinned.
    pub packages: Vec<&'static str>,
    /// Instead: this path of the store and all that it needs.
    pub closure: Option<PathBuf>,
    /// Disks beside its root file system.
    pub disks: Vec<DiskOption>,
    /// Whether it has memory at /tmp.
    pub tmp: bool,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Job {
    /// Of the minimal Debian, with nothing else.
    #[must_use]
    pub fn new(runtime: Runtime, words: &[&str]) -> Self {
        Self {
            runtime,
            kernel: Kernel::Cki,
            memory: Container::DEFAULT_MEMORY,
            cpus: 1,
            packages: Vec::new(),
            closure: None,
            disks: Vec::new(),
            tmp: false,
            command: words.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What a program is given beside its options.
#[derive(Debug, Default)]
pub struct Given {
    /// The files of the machine's disks.
    pub disks: Vec<File>,
    /// What it reads.
    pub stdin: &'static [u8],
    /// How long it may run.
    pub timeout: Option<Duration>,
}

/// A directory that is removed with this.
pub trait Scratch {
    /// Where it is.
    fn path(&self) -> &Path;
}

/// Who lends machines, and has made what is put on them.
pub trait Lab {
    /// The outputs of the flake of these names, built.
    ///
    /// # Errors
    /// [`Error::Lab`], as for all others.
    fn outputs(&self, names: &[&str]) -> Result<BTreeMap<String, PathBuf>, Error>;

    /// The commit that they are of, if it can be told.
    ///
    /// # Errors
    /// When it cannot be asked for.
    fn commit(&self) -> Result<Option<String>, Error>;

    /// A directory for a while.
    ///
    /// # Errors
    /// When there is no room for one.
    fn scratch(&self) -> Result<Box<dyn Scratch>, Error>;

    /// Shows what goes on.
    fn step(&self, what: &str) -> Step;

    /// Tells what was done, unless nobody wants to know.
    fn say(&self, text: &str);

    /// A disk whose file system has this path of the store and all that it needs.
    ///
    /// # Errors
    /// When it cannot be made.
    fn disk_of(&self, package: &Path) -> Result<PathBuf, Error>;

    /// The layers of an image of these packages, as they are pinned.
    ///
    /// # Errors
    /// When one cannot be made.
    fn layers_of(&self, packages: &[&str]) -> Result<Vec<PathBuf>, Error>;

    /// A machine for the job, and the files of the job's disks.
    ///
    /// # Errors
    /// When something that it needs cannot be had.
    fn prepare(&self, job: &Job) -> Result<(Machine, Vec<File>), Error>;

    /// Runs the job's program; how it ended, whatever that is, and what it put out. `ready` is called before it starts.
    ///
    /// # Errors
    /// When the machine breaks.
    fn execute(
        &self,
        machine: &Machine,
        job: &Job,
        given: Given,
        ready: Box<dyn FnOnce() + '_>,
    ) -> Result<(Ended, String), Error>;
}

/// As [`Lab::execute`], and the program has to end with status 0.
///
/// # Errors
/// Also when it does not.
pub fn succeed(
    lab: &dyn Lab,
    machine: &Machine,
    job: &Job,
    given: Given,
    ready: Box<dyn FnOnce() + '_>,
) -> Result<(Ended, String), Error> {
    let (ended, output) = lab.execute(machine, job, given, ready)?;
    let status = ended.outcome.status();
    if status != cki_session::Status::OK {
        return Err(Error::Failed(format!(
            "{:?} ended with status {}",
            job.command, status.0
        )));
    }
    Ok((ended, output))
}
