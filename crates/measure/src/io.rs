// SPDX-License-Identifier: MIT OR Apache-2.0

//! What input and output cost in a container, in instructions, beside the same natively.
//!
//! One machine, which counts instructions, does all of it: `io/host.pl` has `io/work.pl` work as a process and in a
//! container.

mod report;

use std::fs::File;

use cki_disk::DiskOption;
use cki_frontend::Runtime;
use cki_session::Memory;

use crate::error::Error;
use crate::lab::{Given, Job, Lab, succeed};
pub use report::Report;

/// Half of it is for containers.
const MACHINE: Memory = Memory::constant(1024);
/// Bytes of a disk.
const DISK: u64 = 256 << 20;
const HOST: &str = include_str!("io/host.pl");
const WORK: &str = include_str!("io/work.pl");
/// What the two need.
const PACKAGES: [&str; 5] = ["e2fsprogs", "git", "iproute2", "mount", "perl-base"];

/// Does the work, and counts.
///
/// # Errors
/// When it is not done.
pub fn io(lab: &dyn Lab) -> Result<Report, Error> {
    let scratch = lab.scratch()?;
    let disk = |name: &str| -> Result<DiskOption, Error> {
        let path = scratch.path().join(name);
        let made = File::create(&path).and_then(|file| file.set_len(DISK));
        made.map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        Ok(DiskOption::raw(path))
    };
    let job = Job {
        memory: MACHINE,
        packages: PACKAGES.into(),
        disks: vec![disk("blocks")?, disk("tree")?],
        ..Job::new(Runtime::Host, &["perl", "-e", HOST, WORK])
    };
    let (mut machine, disks) = lab.prepare(&job)?;
    machine.icount = true;
    // Where it is idle, it waits: without that, timers would go off while a disk works, as fast as they can.
    machine
        .extra
        .extend(["-icount", "shift=0,sleep=on"].map(str::to_owned));
    let step = lab.step("counting instructions of input and output");
    let given = Given {
        disks,
        ..Given::default()
    };
    let (_, output) = succeed(lab, &machine, &job, given, Box::new(|| {}))?;
    step.finish();
    Report::new(&output)
        .map_err(|message| Error::Failed(format!("{message}; the host said:\n{output}")))
}
