// SPDX-License-Identifier: MIT OR Apache-2.0

//! One of the paper's kinds of work, on one runtime, on a machine that counts instructions.
//!
//! It counts one a nanosecond of its clock, so the time that the work says it took is how many instructions the machine
//! executed: the work's own and those of all kernels meanwhile.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bench::program::{execute, program};
use crate::cli::{Run, Runtime};
use crate::compared::{Size, Workload, command};
use crate::contents::Contents;
use crate::context::Context;
use crate::error::Error;
use crate::prepare::prepare;
use cki_figures::Took;
use cki_machine::Ended;
use cki_session::{Isolation, Memory};

/// What the work may use.
const MEMORY: Memory = Memory::constant(1024);

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

/// Does the work; a container has to be isolated.
pub(super) fn work(
    context: &Context,
    runtime: Runtime,
    workload: Workload,
    size: Size,
) -> Result<Took, Error> {
    let outputs = context.outputs(&["cki-workload"])?;
    let args = Run {
        memory: MEMORY,
        contents: Contents {
            closure: Some(outputs["cki-workload"].out.clone()),
            ..Contents::default()
        },
        command: command(workload, size),
        ..program(runtime, &[])
    };
    let (mut machine, _) = prepare(context, &args)?;
    machine.icount = true;
    let what = match runtime {
        Runtime::Cki => "working in a container",
        Runtime::Native | Runtime::Host => "working natively",
    };
    let step = context.progress.step(what);
    let (ended, output) = execute(&machine, &args, b"", None, || {})?;
    step.finish();
    if runtime == Runtime::Cki && ended.isolation != Some(Isolation::Full) {
        return Err(Error::Demo("the program was not isolated".to_owned()));
    }
    took(&ended, &output)
}

/// What the work took, from what it said.
fn took(ended: &Ended, output: &str) -> Result<Took, Error> {
    let wrong = |why: String| Error::Demo(format!("{why}; the program said:\n{output}"));
    let done: Done = serde_json::from_str(output).map_err(|error| wrong(error.to_string()))?;
    if !done.known {
        return Err(wrong("the result is none that is known".to_owned()));
    }
    let times = ended.times;
    let (Some(started), Some(first_byte)) = (times.started, times.first_byte) else {
        return Err(wrong("the program was not started".to_owned()));
    };
    let instructions = |seconds: f64| (seconds * 1e9).round();
    let steps = done.steps.into_iter();
    Ok(Took {
        instructions: instructions(done.seconds),
        steps: steps.map(|(name, s)| (name, instructions(s))).collect(),
        counts: done.counts,
        emulator_seconds: (first_byte - started).as_secs_f64(),
        sum: done.sum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::tests::ended;
    use cki_session::Outcome;
    use std::time::Duration;

    fn finished() -> Ended {
        let mut ended = ended(Outcome::Exited(0), Some(Isolation::Full));
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
    fn a_result_that_is_not_known_is_none() {
        let said = r#"{"sum":"12","known":false,"seconds":1}"#;
        assert!(took(&finished(), said).is_err());
        assert!(took(&finished(), "").is_err());
        let mut ended = finished();
        ended.times.first_byte = None;
        assert!(took(&ended, r#"{"sum":"12","known":true,"seconds":1}"#).is_err());
    }
}
