// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build demo --workload NAME`: the same work natively and in a container, in instructions.

use std::fmt::Write as _;

use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use cki_measure::args::FigureRuntime;
use cki_measure::side::{self, work};
use cki_measure::work::word;
use cki_measure::{Size, Took, Workload};
use cki_session::{Isolation, Status};

/// Both sides.
#[derive(Debug, Serialize)]
struct Report {
    measures: &'static str,
    workload: Workload,
    size: Size,
    native: Took,
    container: Took,
    /// Instructions in the container by those without it.
    ratio: f64,
    /// The same of the emulator's time.
    emulator_ratio: f64,
    /// Of the container.
    isolation: String,
}

pub(super) fn compare(context: &Context, workload: Workload, size: Size) -> Result<Status, Error> {
    let native = work(context, &*side::of(FigureRuntime::Native), workload, size)?;
    let container = work(context, &*side::of(FigureRuntime::Cki), workload, size)?;
    let report = Report::new(workload, size, native, container);
    if context.global.json {
        print_json(&report)?;
    } else {
        print(&report.table())?;
    }
    Ok(Status::OK)
}

impl Report {
    /// Of two sides, the second of which was isolated.
    fn new(workload: Workload, size: Size, native: Took, container: Took) -> Self {
        Self {
            measures: "instructions that the machine executed while the work was done, counted by the emulator \
                (-icount shift=0); seconds of the emulator say little of a processor",
            workload,
            size,
            ratio: container.instructions / native.instructions,
            emulator_ratio: container.emulator_seconds / native.emulator_seconds,
            native,
            container,
            isolation: Isolation::Full.to_string(),
        }
    }

    /// For people.
    fn table(&self) -> String {
        let mut text = format!(
            "{:<24} {:>14} {:>14} {:>6}\n",
            format!("{}, {}", word(&self.workload), word(&self.size)),
            "native",
            "container",
            "ratio"
        );
        let mut line = |name: &str, native: f64, container: f64, digits: usize| {
            let _ = writeln!(
                text,
                "{name:<24} {native:>14.digits$} {container:>14.digits$} {:>6.3}",
                container / native
            );
        };
        let (native, container) = (&self.native, &self.container);
        line(
            "instructions",
            native.instructions,
            container.instructions,
            0,
        );
        for (name, instructions) in &native.steps {
            if let Some(other) = container.steps.get(name) {
                line(&format!("  {name}"), *instructions, *other, 0);
            }
        }
        line(
            "seconds of the emulator",
            native.emulator_seconds,
            container.emulator_seconds,
            1,
        );
        let _ = write!(
            text,
            "sum of both results: {}, as known\nisolation: {}",
            container.sum, self.isolation
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(instructions: f64, step: f64) -> Took {
        Took {
            instructions,
            steps: [("fillseq".to_owned(), step)].into(),
            counts: std::collections::BTreeMap::new(),
            emulator_seconds: instructions / 1e8,
            sum: "12ab".to_owned(),
        }
    }

    #[test]
    fn the_table_has_each_step_and_the_ratios() {
        let report = Report::new(
            Workload::SqliteBench,
            Size::Tiny,
            took(200_000_000.0, 50.0),
            took(210_000_000.0, 60.0),
        );
        let expected = "\
sqlite-bench, tiny               native      container  ratio
instructions                  200000000      210000000  1.050
  fillseq                            50             60  1.200
seconds of the emulator             2.0            2.1  1.050
sum of both results: 12ab, as known
isolation: full (cki)";
        assert_eq!(report.table(), expected);
    }
}
