// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two measurements of the same bars.

use std::fmt::Write as _;

use serde::Serialize;

use crate::figure::Figure;
use crate::record::Record;
use crate::summary::{Bar, Summary};

/// One bar, measured twice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// What was done.
    pub workload: String,
    /// How much of it.
    pub size: String,
    /// On what.
    pub runtime: String,
    /// Instructions, the medians.
    pub instructions: [f64; 2],
    /// The second by the first.
    pub ratio: f64,
    /// Whether all rounds of one took more than all of the other.
    pub apart: bool,
}

/// The bars that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Of all figures.
    pub pairs: Vec<Pair>,
    /// How many bars only one of the two has.
    pub alone: usize,
}

impl Comparison {
    /// Of the bars of `first` with those of `second`.
    #[must_use]
    pub fn of(first: &[Record], second: &[Record]) -> Self {
        let (mut pairs, mut bars) = (Vec::new(), 0);
        for figure in Figure::ALL {
            let [first, second] = [first, second].map(|records| Summary::of(figure, records).bars);
            bars += first.len() + second.len();
            let pair = |bar: &Bar| {
                let same = |other: &&Bar| {
                    let names =
                        |bar: &Bar| [&bar.workload, &bar.size, &bar.runtime].map(ToOwned::to_owned);
                    names(other) == names(bar)
                };
                let other = second.iter().find(same)?;
                Some(Pair {
                    workload: bar.workload.clone(),
                    size: bar.size.clone(),
                    runtime: bar.runtime.clone(),
                    instructions: [bar.instructions, other.instructions],
                    ratio: other.instructions / bar.instructions,
                    apart: bar.range[1] < other.range[0] || other.range[1] < bar.range[0],
                })
            };
            pairs.extend(first.iter().filter_map(pair));
        }
        Self {
            alone: bars - 2 * pairs.len(),
            pairs,
        }
    }

    /// Those of the second that took more than `percent` more than the first, whatever the round.
    pub fn slower(&self, percent: f64) -> impl Iterator<Item = &Pair> {
        let limit = 1.0 + percent / 100.0;
        self.pairs
            .iter()
            .filter(move |pair| pair.apart && pair.ratio > limit)
    }

    /// For people, and for Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = "| work | size | runtime | first | second | ratio | ranges |\n\
             |---|---|---|---:|---:|---:|---|"
            .to_owned();
        for pair in &self.pairs {
            let [first, second] = pair.instructions;
            let ranges = if pair.apart { "apart" } else { "overlap" };
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n| {} | {} | {} | {first:.0} | {second:.0} | {:.3} | {ranges} |",
                pair.workload, pair.size, pair.runtime, pair.ratio
            );
        }
        if self.alone > 0 {
            let _ = write!(text, "\n\nonly one of the two has {} bars", self.alone);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn bars_of_both_are_compared_and_others_counted() {
        let first = [
            record("sph", "cki", 1, 100.0),
            record("sph", "cki", 2, 104.0),
            record("dedup", "cki", 1, 100.0),
            record("anneal", "cki", 1, 100.0),
        ];
        let second = [
            record("sph", "cki", 1, 103.0),
            record("sph", "cki", 2, 105.0),
            record("dedup", "cki", 1, 110.0),
            record("dedup", "native", 1, 100.0),
        ];
        let comparison = Comparison::of(&first, &second);
        let expected = "\
| work | size | runtime | first | second | ratio | ranges |
|---|---|---|---:|---:|---:|---|
| sph | tiny | cki | 102 | 104 | 1.020 | overlap |
| dedup | tiny | cki | 100 | 110 | 1.100 | apart |

only one of the two has 2 bars";
        assert_eq!(comparison.table(), expected);
        let slower = |percent| comparison.slower(percent).count();
        assert_eq!((slower(1.0), slower(9.0), slower(11.0)), (1, 1, 0));
    }
}
