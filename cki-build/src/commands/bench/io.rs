// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build bench io`: what input and output cost in a container, in instructions, beside the same natively.
//!
//! One machine, which counts instructions, does all of it: `io/host.pl` has `io/work.pl` work as a process and in a
//! container.

mod report;

use std::fs::File;

use cki_disk::DiskOption;
use cki_session::{Memory, Status};

use self::report::Report;
use super::program::{Given, execute, program};
use crate::cli::{RunArgs, Runtime};
use crate::contents::{Contents, Packages};
use crate::context::Context;
use crate::disks;
use crate::error::Error;
use crate::output::{print, print_json};
use crate::prepare::prepare;

/// Half of it is for containers.
const MACHINE: Memory = Memory::constant(1024);
/// Bytes of a disk.
const DISK: u64 = 256 << 20;
const HOST: &str = include_str!("io/host.pl");
const WORK: &str = include_str!("io/work.pl");
/// What the two need.
const PACKAGES: [&str; 5] = ["e2fsprogs", "git", "iproute2", "mount", "perl-base"];

pub(super) fn io(context: &Context) -> Result<Status, Error> {
    let scratch = context.cache.scratch()?;
    let disk = |name: &str| -> Result<DiskOption, Error> {
        let path = scratch.path().join(name);
        let made = File::create(&path).and_then(|file| file.set_len(DISK));
        made.map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        Ok(DiskOption::raw(path))
    };
    let args = RunArgs {
        memory: MACHINE,
        contents: Contents {
            packages: Packages::pinned(&PACKAGES),
            ..Contents::default()
        },
        disk: vec![disk("blocks")?, disk("tree")?],
        ..program(Runtime::Host, &["perl", "-e", HOST, WORK])
    };
    let (user, files) = disks::open(&args.disk)?;
    let (mut machine, _) = prepare(context, &args)?;
    machine.disks = user;
    machine.icount = true;
    // Where it is idle, it waits: without that, timers would go off while a disk works, as fast as they can.
    machine
        .extra
        .extend(["-icount", "shift=0,sleep=on"].map(str::to_owned));
    let step = context
        .progress
        .step("counting instructions of input and output");
    let given = Given {
        disks: files,
        ..Given::default()
    };
    let (_, output) = execute(&machine, &args, given, || {})?;
    step.finish();
    let report = Report::new(&output)
        .map_err(|message| Error::Bench(format!("{message}; the host said:\n{output}")))?;
    if context.global.json {
        print_json(&serde_json::json!({
            "measures": "instructions of the whole machine, without those of idleness, that input and output take: of a process and of a container on one machine",
            "report": report,
        }))?;
    } else {
        print(&report.table())?;
    }
    Ok(Status::OK)
}
