// SPDX-License-Identifier: MIT OR Apache-2.0

//! Work on user-mode Linux, whose kernel is a process of the machine. Debian 12 has one of Linux 6.1, which stops the
//! work's process at each system call and each signal by ptrace; that by seccomp is younger.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cki_disk::DiskOption;
use cki_frontend::Runtime;
use cki_machine::Ended;
use cki_session::{Memory, Status};

use super::interface::{MEMORY, Side, Work, layers};
use crate::error::Error;
use crate::lab::{Job, Lab};

/// Makes the root file system, starts user-mode Linux, and says how the work ended.
const SCRIPT: &str = concat!(include_str!("root.sh"), include_str!("uml.sh"));

/// The kernel, and what mounts the disk of the work.
const PACKAGES: [&str; 2] = ["user-mode-linux", "mount"];

/// Of the machine, in MiB, beside the memory of user-mode Linux: for its kernel and the programs of the image.
const MACHINE: u32 = 256;

/// User-mode Linux.
#[derive(Debug)]
pub(super) struct Uml;

impl Side for Uml {
    fn working(&self) -> String {
        "working on user-mode Linux".to_owned()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn images(&self, lab: &dyn Lab) -> Result<BTreeMap<String, PathBuf>, Error> {
        Ok(layers(lab.layers_of(&PACKAGES)?))
    }

    fn run(&self, lab: &dyn Lab, work: &Work) -> Result<Job, Error> {
        Ok(job(lab.disk_of(&work.package)?, &work.command))
    }

    fn judge(&self, ended: &Ended) -> Result<(), Error> {
        match ended.outcome.status() {
            Status::OK => Ok(()),
            status => Err(Error::Failed(format!(
                "user-mode Linux did not do the work (status {}), and has said why; `cki-build run --runtime native \
                 --deb {} -- linux.uml --version` shows whether it starts in the machine, and `--runtimes` without uml \
                 leaves it out",
                status.0, PACKAGES[0]
            ))),
        }
    }
}

/// The machine, and what has the work of the file system in `root` done.
fn job(root: PathBuf, command: &[String]) -> Job {
    let memory: Memory = MEMORY.plus_mib(MACHINE);
    let mib = MEMORY.mib().to_string();
    let words = ["sh", "-c", SCRIPT, "uml", &mib];
    let words: Vec<&str> = words
        .into_iter()
        .chain(command.iter().map(String::as_str))
        .collect();
    Job {
        memory,
        packages: PACKAGES.into(),
        disks: vec![DiskOption {
            is_read_only: true,
            ..DiskOption::raw(root)
        }],
        ..Job::new(Runtime::Native, &words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_session::Outcome;

    #[test]
    fn the_work_has_the_memory_of_others_and_the_machine_has_more() {
        let command = ["cki-workload", "sph"].map(str::to_owned);
        let job = job("/layer".into(), &command);
        assert_eq!(job.memory, Memory::constant(1280));
        assert_eq!(job.command[3..], ["uml", "1024", "cki-workload", "sph"]);
        assert_eq!(job.disks.len(), 1);
        assert!(job.disks[0].is_read_only);
    }

    #[test]
    fn user_mode_linux_that_fails_is_named_with_what_to_do() {
        let judged = |status| Uml.judge(&Ended::at_once(Outcome::Exited(status), None));
        assert!(judged(0).is_ok());
        let error = judged(1).expect_err("it failed").to_string();
        for words in ["status 1", "--deb user-mode-linux", "--runtimes"] {
            assert!(error.contains(words), "{error}");
        }
    }
}
