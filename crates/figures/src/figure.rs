// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which figure of the paper, and what its bars are made of.

use serde::Serialize;

use crate::record::Record;

/// A figure of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Programs that fault many pages in.
    Fig12,
    /// SQLite.
    Fig14,
    /// Servers that keep keys and values.
    Fig16,
}

/// The work whose parts are the bars of figure 14.
const SQLITE: &str = "sqlite-bench";
/// Its parts, from the left.
const STEPS: [&str; 7] = [
    "fillseq",
    "fillseqbatch",
    "fillrandom",
    "fillrandbatch",
    "overwritebatch",
    "readseq",
    "readrandom",
];
/// The part that reads the rows that are there, which are fewer than are written: random keys come twice.
const READS_ROWS: &str = "readseq";
/// Name of a server's count of requests.
pub const REQUESTS: &str = "requests";

impl Figure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fig12, Self::Fig14, Self::Fig16];

    /// As commands and files are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fig12 => "fig12",
            Self::Fig14 => "fig14",
            Self::Fig16 => "fig16",
        }
    }

    /// What is above the picture.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Fig12 => "Figure 12: programs that need much memory",
            Self::Fig14 => "Figure 14: SQLite",
            Self::Fig16 => "Figure 16: servers of keys and values",
        }
    }

    /// What a bar's height is.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Fig12 => "million instructions",
            Self::Fig14 => "instructions a row",
            Self::Fig16 => "instructions a request",
        }
    }

    /// How many instructions are one of the unit, and how many digits of it are shown behind the point.
    #[must_use]
    pub(crate) const fn scale(self) -> (f64, usize) {
        match self {
            Self::Fig12 => (1e6, 1),
            Self::Fig14 | Self::Fig16 => (1.0, 0),
        }
    }

    /// The figure that this record is for.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        if record.key.clients.is_some() {
            Self::Fig16
        } else if record.key.workload == SQLITE {
            Self::Fig14
        } else {
            Self::Fig12
        }
    }

    /// What it says of each bar that it is for, in instructions.
    #[must_use]
    pub fn values(self, record: &Record) -> Vec<(String, f64)> {
        let took = &record.took;
        let each = |value: f64, count: &str| {
            let count = took.counts.get(count).copied().filter(|&count| count > 0)?;
            // Far below 2^53.
            Some(value / count as f64)
        };
        match self {
            Self::Fig12 => vec![(record.key.workload.clone(), took.instructions)],
            Self::Fig14 => {
                let step = |name: &&str| {
                    let value = *took.steps.get(*name)?;
                    // In order, no row is written twice, so they are as many as each part writes or looks up.
                    let count = if *name == READS_ROWS { *name } else { STEPS[0] };
                    Some(((*name).to_owned(), each(value, count)?))
                };
                STEPS.iter().filter_map(step).collect()
            }
            Self::Fig16 => {
                let clients = record.key.clients.unwrap_or(1);
                let plural = if clients == 1 { "" } else { "s" };
                let name = format!("{}, {clients} client{plural}", record.key.workload);
                let value = each(took.instructions, REQUESTS);
                value
                    .into_iter()
                    .map(|value| (name.clone(), value))
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn a_step_of_sqlite_is_divided_by_its_rows() {
        let mut sqlite = record("sqlite-bench", "cki", 1, 9e9);
        sqlite.took.steps = [("fillrandom", 8e6), ("readseq", 1e6), ("fillseq", 4e6)]
            .map(|(name, count)| (name.to_owned(), count))
            .into();
        sqlite.took.counts = [
            ("fillseq", 2_000),
            ("fillrandom", 1_264),
            ("readseq", 1_600),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        assert_eq!(Figure::of(&sqlite), Figure::Fig14);
        let expected = [
            ("fillseq", 2_000.0),
            ("fillrandom", 4_000.0),
            ("readseq", 625.0),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(Figure::Fig14.values(&sqlite), expected);
        // Of which nothing is known, there is no bar.
        sqlite.took.counts.clear();
        assert_eq!(Figure::Fig14.values(&sqlite), []);
    }

    #[test]
    fn a_server_has_a_bar_for_each_number_of_clients() {
        let mut redis = record("redis", "runc", 1, 8e6);
        redis.key.clients = Some(12);
        redis.took.counts.insert(REQUESTS.to_owned(), 1_000);
        assert_eq!(Figure::of(&redis), Figure::Fig16);
        let expected = ("redis, 12 clients".to_owned(), 8_000.0);
        assert_eq!(Figure::Fig16.values(&redis), [expected]);
        redis.key.clients = Some(1);
        assert_eq!(Figure::Fig16.values(&redis)[0].0, "redis, 1 client");
    }

    #[test]
    fn other_work_is_of_figure_12() {
        let sph = record("sph", "cki", 1, 5e8);
        assert_eq!(Figure::of(&sph), Figure::Fig12);
        assert_eq!(Figure::Fig12.values(&sph), [("sph".to_owned(), 5e8)]);
    }
}
