// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long replies took.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer latencies count as this one: an hour in microseconds.
const LONGEST: u64 = 3_600_000_000;

/// Replies, by what was asked.
#[derive(Debug)]
pub struct Counts {
    /// How long it took to store, in microseconds.
    pub sets: Histogram<u64>,
    /// How long it took to get.
    pub gets: Histogram<u64>,
    /// Values that were there.
    pub hits: u64,
}

impl Counts {
    pub fn new() -> Self {
        let empty = || Histogram::new_with_max(LONGEST, 3).expect("constants that are in range");
        Self {
            sets: empty(),
            gets: empty(),
            hits: 0,
        }
    }

    pub fn set(&mut self, microseconds: u128) {
        self.sets.saturating_record(bounded(microseconds));
    }

    pub fn get(&mut self, microseconds: u128, hit: bool) {
        self.gets.saturating_record(bounded(microseconds));
        self.hits += u64::from(hit);
    }

    pub fn all(&self) -> u64 {
        self.sets.len() + self.gets.len()
    }
}

fn bounded(microseconds: u128) -> u64 {
    u64::try_from(microseconds).unwrap_or(LONGEST)
}

/// How long replies took, in microseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: u64,
    /// So did 90 of 100.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            mean: histogram.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}
