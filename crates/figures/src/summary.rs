// SPDX-License-Identifier: MIT OR Apache-2.0

//! Medians and spread.

use std::fmt::Write as _;

use serde::Serialize;

use crate::figure::Figure;
use crate::record::Record;

/// The runtime that others are compared with.
pub(crate) const NATIVE: &str = "native";
/// Runtimes in the order of bars; what is not among them comes last.
const ORDER: [&str; 7] = [NATIVE, "runc", "crun", "gvisor", "uml", "xen-pv", "cki"];

/// One bar of the figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// What was done.
    pub workload: String,
    /// How much of it.
    pub size: String,
    /// On what.
    pub runtime: String,
    /// How often.
    pub rounds: usize,
    /// Instructions, the median.
    pub instructions: f64,
    /// The fewest and the most.
    pub range: [f64; 2],
    /// The median by that of the runtime `native`, where that was measured.
    pub by_native: Option<f64>,
}

/// A runtime without bars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// On what the work cannot be done, or is not.
    pub runtime: String,
    /// Why.
    pub why: String,
}

/// All bars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Of which figure.
    pub figure: Figure,
    /// What the numbers are.
    pub measures: &'static str,
    /// By size, by workload, by runtime.
    pub bars: Vec<Bar>,
    /// Runtimes that were asked for and have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

impl Summary {
    /// Of those of `records` that are for `figure`. Of records with several origins, those count that were made with
    /// the same outputs as the last one.
    #[must_use]
    pub fn of(figure: Figure, records: &[Record]) -> Self {
        let records: Vec<&Record> = records
            .iter()
            .filter(|record| Figure::of(record) == figure)
            .collect();
        let mut bars = Vec::new();
        for size in distinct(records.iter().map(|record| record.key.size.clone())) {
            let of_size = records.iter().filter(|record| record.key.size == size);
            let values: Vec<Value<'_>> = of_size
                .flat_map(|&record| {
                    let values = figure.values(record).into_iter();
                    values.map(move |(name, value)| (name, record, value))
                })
                .collect();
            for workload in distinct(values.iter().map(|(name, ..)| name.clone())) {
                bars.extend(bars_of(&size, &workload, &values));
            }
        }
        Self {
            figure,
            measures: "instructions that the machine executed while the work was done, counted by the emulator \
                (-icount shift=0)",
            bars,
            refused: Vec::new(),
        }
    }

    /// Its sizes.
    #[must_use]
    pub fn sizes(&self) -> Vec<String> {
        distinct(self.bars.iter().map(|bar| bar.size.clone()))
    }

    /// For people, and for Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let (scale, digits) = self.figure.scale();
        let mut text = format!(
            "| work | size | runtime | rounds | {} | from | to | by native |\n\
             |---|---|---|---:|---:|---:|---:|---:|",
            self.figure.unit()
        );
        for bar in &self.bars {
            let ratio = bar
                .by_native
                .map_or(String::new(), |ratio| format!("{ratio:.3}"));
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n| {} | {} | {} | {} | {:.digits$} | {:.digits$} | {:.digits$} | {ratio} |",
                bar.workload,
                bar.size,
                bar.runtime,
                bar.rounds,
                bar.instructions / scale,
                bar.range[0] / scale,
                bar.range[1] / scale,
            );
        }
        for Refused { runtime, why } in &self.refused {
            let _ = write!(text, "\n\nThere is no bar of {runtime}: {why}.");
        }
        text
    }
}

/// The name of a bar, the record that says something of it, and what that says.
type Value<'a> = (String, &'a Record, f64);

/// The bars of one workload, by runtime.
fn bars_of(size: &str, workload: &str, values: &[Value<'_>]) -> Vec<Bar> {
    let these = || values.iter().filter(|(name, ..)| name == workload);
    let mut runtimes = distinct(these().map(|(_, record, _)| record.key.runtime.clone()));
    runtimes.sort_by_key(|runtime| place(runtime));
    let sorted = |runtime: &str| {
        let of = these().filter(|(_, record, _)| record.key.runtime == runtime);
        let of: Vec<_> = of.collect();
        let last = of.last().map(|(_, record, _)| &record.origin.outputs);
        let of = of
            .iter()
            .filter(|(_, record, _)| Some(&record.origin.outputs) == last);
        let mut all: Vec<f64> = of.map(|(.., value)| *value).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let native = median(&sorted(NATIVE));
    let bar = |runtime: String| {
        let all = sorted(&runtime);
        let instructions = median(&all)?;
        Some(Bar {
            workload: workload.to_owned(),
            size: size.to_owned(),
            runtime,
            rounds: all.len(),
            instructions,
            range: [*all.first()?, *all.last()?],
            by_native: native.map(|native| instructions / native),
        })
    };
    runtimes.into_iter().filter_map(bar).collect()
}

/// Where a runtime's bar is among those of others.
fn place(runtime: &str) -> usize {
    let known = ORDER.iter().position(|known| *known == runtime);
    known.unwrap_or(ORDER.len())
}

/// Each once, in the order in which they come.
pub(crate) fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
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
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn a_bar_has_its_median_its_range_and_its_ratio() {
        let records = [
            record("sph", "cki", 1, 130e6),
            record("sph", "native", 1, 100e6),
            record("sph", "cki", 2, 110e6),
            record("sph", "cki", 3, 120e6),
        ];
        let summary = Summary::of(Figure::Fig12, &records);
        let expected = "\
| work | size | runtime | rounds | million instructions | from | to | by native |
|---|---|---|---:|---:|---:|---:|---:|
| sph | tiny | native | 1 | 100.0 | 100.0 | 100.0 | 1.000 |
| sph | tiny | cki | 3 | 120.0 | 110.0 | 130.0 | 1.200 |";
        assert_eq!(summary.table(), expected);
        let mut summary = summary;
        summary.refused.push(Refused {
            runtime: "gvisor".to_owned(),
            why: "it has no network".to_owned(),
        });
        let with_refused = format!("{expected}\n\nThere is no bar of gvisor: it has no network.");
        assert_eq!(summary.table(), with_refused);
        let alone = Summary::of(Figure::Fig12, &records[..1]);
        assert_eq!(alone.bars[0].by_native, None);
        assert_eq!(Summary::of(Figure::Fig14, &records).bars, []);
    }

    #[test]
    fn what_was_made_with_other_outputs_than_the_last_is_left_out() {
        let mut records = [
            record("sph", "cki", 1, 900e6),
            record("sph", "cki", 1, 100e6),
        ];
        records[1]
            .origin
            .outputs
            .insert("cki-qemu".to_owned(), "/b".into());
        let summary = Summary::of(Figure::Fig12, &records);
        assert_eq!(summary.bars.len(), 1);
        assert_eq!(
            (summary.bars[0].rounds, summary.bars[0].range),
            (1, [100e6, 100e6])
        );
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[1.0, 2.0, 7.0]), Some(2.0));
    }
}
