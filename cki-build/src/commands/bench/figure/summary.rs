// SPDX-License-Identifier: MIT OR Apache-2.0

//! Medians and spread.

use std::fmt::Write as _;

use serde::Serialize;

use super::record::Record;
use crate::compared::{FIG12, Size, Workload, word};
use crate::measured::FigureRuntime;

/// One bar of the figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// What was done.
    pub workload: Workload,
    /// How much of it.
    pub size: Size,
    /// On what.
    pub runtime: FigureRuntime,
    /// How often.
    pub rounds: usize,
    /// Instructions, the median.
    pub instructions: f64,
    /// The fewest and the most.
    pub range: [f64; 2],
    /// The median by that of the runtime `native`, where that was measured.
    pub by_native: Option<f64>,
}

/// All bars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// What the numbers are.
    pub measures: &'static str,
    /// By size, by workload, by runtime.
    pub bars: Vec<Bar>,
}

impl Summary {
    /// Of all records.
    #[must_use]
    pub fn of(records: &[Record], sizes: &[Size], runtimes: &[FigureRuntime]) -> Self {
        let all = |workload, size, runtime| {
            let these = records.iter().filter(|record| {
                let key = record.key;
                (key.workload, key.size, key.runtime) == (workload, size, runtime)
            });
            let mut all: Vec<f64> = these.map(|record| record.took.instructions).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let mut bars = Vec::new();
        for &size in sizes {
            for workload in FIG12 {
                let native = median(&all(workload, size, FigureRuntime::Native));
                for &runtime in runtimes {
                    let all = all(workload, size, runtime);
                    let (Some(middle), Some(least), Some(most)) =
                        (median(&all), all.first(), all.last())
                    else {
                        continue;
                    };
                    bars.push(Bar {
                        workload,
                        size,
                        runtime,
                        rounds: all.len(),
                        instructions: middle,
                        range: [*least, *most],
                        by_native: native.map(|native| middle / native),
                    });
                }
            }
        }
        Self {
            measures: "instructions that the machine executed while the work was done, counted by the emulator (-icount shift=0)",
            bars,
        }
    }

    /// For people, and for Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            "| work | size | runtime | rounds | million instructions | from | to | by native |\n\
             |---|---|---|---:|---:|---:|---:|---:|"
                .to_owned();
        for bar in &self.bars {
            let million = |instructions: f64| instructions / 1e6;
            let ratio = bar
                .by_native
                .map_or(String::new(), |ratio| format!("{ratio:.3}"));
            let _ = write!(
                text,
                "\n| {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {ratio} |",
                word(&bar.workload),
                word(&bar.size),
                word(&bar.runtime),
                bar.rounds,
                million(bar.instructions),
                million(bar.range[0]),
                million(bar.range[1]),
            );
        }
        text
    }
}

/// The middle one of sorted numbers, or the mean of the two.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    Some(match sorted.len() % 2 {
        0 => f64::midpoint(sorted[sorted.len() / 2 - 1], *upper),
        _ => *upper,
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    #[test]
    fn a_bar_has_its_median_its_range_and_its_ratio() {
        use FigureRuntime::{Cki, Native};
        let records = [
            record(Native, 1, 100e6),
            record(Cki, 1, 130e6),
            record(Cki, 2, 110e6),
            record(Cki, 3, 120e6),
        ];
        let summary = Summary::of(&records, &[Size::Tiny], &[Native, Cki]);
        let expected = "\
| work | size | runtime | rounds | million instructions | from | to | by native |
|---|---|---|---:|---:|---:|---:|---:|
| sph | tiny | native | 1 | 100.0 | 100.0 | 100.0 | 1.000 |
| sph | tiny | cki | 3 | 120.0 | 110.0 | 130.0 | 1.200 |";
        assert_eq!(summary.table(), expected);
        let alone = Summary::of(&records, &[Size::Tiny], &[Cki]);
        assert_eq!(alone.bars.len(), 1);
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 7.0]), Some(2.0));
    }
}
