// SPDX-License-Identifier: MIT OR Apache-2.0

//! One of the paper's kinds of work, on one runtime, on a machine that counts instructions.
//!
//! It counts one a nanosecond of its clock, so the time that the work says it took is how many instructions the machine
//! executed: the work's own and those of all kernels meanwhile.
//!
//! A runtime is a [`Side`]. Another one needs an implementation, a name in `FigureRuntime`, and a line in [`of`].

mod engine;
mod interface;
mod uml;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use cki_figures::Took;
use cki_frontend::Runtime;
use cki_machine::Ended;
use cki_session::{Isolation, Status};
use cki_workload_names::{Size, Workload};

use crate::args::FigureRuntime;
use crate::error::Error;
use crate::lab::{Given, Job, Kernel, Lab};
use crate::work::command;
pub(crate) use engine::config;
use engine::{CRUN, GVISOR, RUNC};
use interface::MEMORY;
pub(crate) use interface::layers;
pub use interface::{Side, Work};
use uml::Uml;

/// The runtime of this name.
#[must_use]
pub fn of(runtime: FigureRuntime) -> Box<dyn Side> {
    match runtime {
        FigureRuntime::Native => Box::new(Ours(Runtime::Native, Kernel::Cki)),
        FigureRuntime::Runc => Box::new(RUNC),
        FigureRuntime::Crun => Box::new(CRUN),
        FigureRuntime::Gvisor => Box::new(GVISOR),
        FigureRuntime::Uml => Box::new(Uml),
        FigureRuntime::XenPv => Box::new(Ours(Runtime::Native, Kernel::Xen)),
        FigureRuntime::Cki => Box::new(Ours(Runtime::Cki, Kernel::Cki)),
    }
}

/// A runtime of `cki-build run`, in a machine with a kernel.
struct Ours(Runtime, Kernel);

impl Side for Ours {
    fn working(&self) -> String {
        let words = match self {
            Self(Runtime::Cki, _) => "working in a container",
            Self(_, Kernel::Cki) => "working natively",
            Self(_, Kernel::Xen) => "working in a guest of Xen",
        };
        words.to_owned()
    }

    fn outputs(&self) -> &'static [&'static str] {
        match self {
            Self(Runtime::Native, Kernel::Cki) => &[],
            Self(Runtime::Native, Kernel::Xen) => &["cki-host-xen"],
            Self(Runtime::Cki | Runtime::Host, _) => &["cki-runtime"],
        }
    }

    fn images(&self, _: &dyn Lab) -> Result<BTreeMap<String, PathBuf>, Error> {
        Ok(BTreeMap::new())
    }

    fn run(&self, _: &dyn Lab, work: &Work) -> Result<Job, Error> {
        Ok(Job {
            kernel: self.1,
            memory: MEMORY,
            closure: Some(work.package.clone()),
            tmp: true,
            command: work.command.clone(),
            ..Job::new(self.0, &[])
        })
    }

    fn judge(&self, ended: &Ended) -> Result<(), Error> {
        let status = ended.outcome.status();
        if status != Status::OK {
            let message = format!("the work ended with status {}, and has said why", status.0);
            return Err(Error::Failed(message));
        }
        if self.0 == Runtime::Cki && ended.isolation != Some(Isolation::Full) {
            return Err(Error::Failed("the program was not isolated".to_owned()));
        }
        Ok(())
    }
}

/// What `cki-workload --json` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Done {
    sum: String,
    known: bool,
    seconds: f64,
    #[serde(default)]
    steps: BTreeMap<String, f64>,
    #[serde(default)]
    counts: BTreeMap<String, u64>,
}

/// Does the work on a runtime.
///
/// # Errors
/// Also when it was not done there.
pub fn work(lab: &dyn Lab, side: &dyn Side, workload: Workload, size: Size) -> Result<Took, Error> {
    let outputs = lab.outputs(&["cki-workload"])?;
    let work = Work {
        package: outputs["cki-workload"].clone(),
        command: command(workload, size),
    };
    let job = side.run(lab, &work)?;
    let (mut machine, disks) = lab.prepare(&job)?;
    machine.icount = true;
    let step = lab.step(&side.working());
    let given = Given {
        disks,
        ..Given::default()
    };
    let (ended, output) = lab.execute(&machine, &job, given, Box::new(|| {}))?;
    step.finish();
    side.judge(&ended)?;
    took(&ended, &output)
}

/// What the work took, from what it said.
fn took(ended: &Ended, output: &str) -> Result<Took, Error> {
    let wrong = |why: String| Error::Failed(format!("{why}; the program said:\n{output}"));
    let done: Done = serde_json::from_str(output).map_err(|error| wrong(error.to_string()))?;
    if !done.known {
        return Err(wrong("no known result is this one".to_owned()));
    }
    let instructions = |seconds: f64| (seconds * 1e9).round();
    let steps = done.steps.into_iter();
    Ok(Took {
        instructions: instructions(done.seconds),
        steps: steps.map(|(name, s)| (name, instructions(s))).collect(),
        counts: done.counts,
        emulator_seconds: emulator_seconds(ended)
            .ok_or_else(|| wrong("the program was not started".to_owned()))?,
        sum: done.sum,
    })
}

/// From the start of the program to its first output.
pub(crate) fn emulator_seconds(ended: &Ended) -> Option<f64> {
    let (started, first_byte) = (ended.times.started?, ended.times.first_byte?);
    Some((first_byte - started).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_session::Outcome;
    use std::time::Duration;

    fn finished() -> Ended {
        let mut ended = Ended::at_once(Outcome::Exited(0), Some(Isolation::Full));
        ended.times.started = Some(ended.times.start);
        ended.times.first_byte = Some(ended.times.start + Duration::from_millis(1_500));
        ended
    }

    #[test]
    fn a_nanosecond_of_the_works_clock_is_an_instruction() {
        let said = r#"{"workload":"sqlite-bench","counts":{"fillseq":2000},"steps":{"fillseq":0.25},"sum":"12","known":true,"seconds":1.000000001}"#;
        let took = took(&finished(), said).expect("it is done");
        assert_eq!(took.sum, "12");
        assert_eq!(took.instructions.to_bits(), 1_000_000_001_f64.to_bits());
        assert_eq!(took.steps["fillseq"].to_bits(), 250_000_000_f64.to_bits());
        assert_eq!(took.counts["fillseq"], 2_000);
        assert_eq!(took.emulator_seconds.to_bits(), 1.5_f64.to_bits());
    }

    #[test]
    fn a_result_that_is_not_known_is_refused() {
        let said = r#"{"sum":"12","known":false,"seconds":1}"#;
        assert!(took(&finished(), said).is_err());
        assert!(took(&finished(), "").is_err());
        let mut ended = finished();
        ended.times.first_byte = None;
        assert!(took(&ended, r#"{"sum":"12","known":true,"seconds":1}"#).is_err());
    }

    #[test]
    fn work_that_failed_or_was_not_isolated_does_not_count() {
        let judge = |runtime, outcome, isolation| {
            Ours(runtime, Kernel::Cki).judge(&Ended::at_once(outcome, isolation))
        };
        let done = Outcome::Exited(0);
        assert!(judge(Runtime::Cki, done.clone(), Some(Isolation::Full)).is_ok());
        assert!(judge(Runtime::Cki, done.clone(), Some(Isolation::None)).is_err());
        assert!(judge(Runtime::Cki, done.clone(), None).is_err());
        assert!(judge(Runtime::Native, done, None).is_ok());
        assert!(judge(Runtime::Native, Outcome::Exited(1), None).is_err());
    }
}
