// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kinds of work that the paper on CKI measured, as programs of our own, named for the method.
//!
//! Each makes its input from a seed, works on it with one thread, and checks its result. Which things they share with
//! the programs of the paper is said in docs/reference/workloads.md.
//!
//! Results are the same on every machine: fractions are added, multiplied, divided and rooted only, each of which
//! IEEE 754 gives one result. Functions of a C library, such as exp, differ in the last bit from one processor to
//! another.
//!
//! Used by: `main.rs`. May use: `cki-workload-names`.

use std::fmt::{self, Display};
use std::time::Instant;

use serde::Serialize;

pub mod anneal;
pub mod btree;
pub mod dedup;
mod finding;
pub mod fp_growth;
mod known;
pub mod kv_load;
mod map;
mod random;
pub mod sph;
pub mod sqlite_bench;
mod stream;
mod sum;
pub mod xs_lookup;

pub use cki_workload_names::{SEED, Size, Workload};
pub use finding::{Finding, Wrong};

/// A workload that was done, and whose result is right.
#[derive(Debug, Serialize)]
pub struct Done {
    /// Which.
    pub workload: Workload,
    /// How much of it.
    pub size: Size,
    /// What its input was made from.
    pub seed: u64,
    /// Figures by their names.
    #[serde(serialize_with = "as_map")]
    pub counts: Vec<(&'static str, u64)>,
    /// How many seconds each part took by the clock, of a workload that has parts.
    #[serde(serialize_with = "as_map", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<(&'static str, f64)>,
    /// The sum of the result, in hexadecimal digits.
    pub sum: String,
    /// Whether the sum is known for this size and seed, and is that. Otherwise only the workload's own checks say
    /// that the result is right.
    pub known: bool,
    /// How long input and work took together, by the clock.
    pub seconds: f64,
}

fn as_map<S: serde::Serializer, T: Serialize + Copy>(
    counts: &[(&'static str, T)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().copied())
}

impl Display for Done {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}", self.workload)?;
        for (name, count) in &self.counts {
            writeln!(to, "  {name}: {count}")?;
        }
        let known = if self.known { ", as known" } else { "" };
        write!(to, "  sum: {}{known}", self.sum)
    }
}

/// Does a workload and checks its result.
///
/// # Errors
///
/// If the result is not right.
pub fn run(workload: Workload, size: Size, seed: u64) -> Result<Done, Wrong> {
    wait_for_random_numbers();
    let begin = Instant::now();
    let Finding { counts, steps, sum } = match workload {
        Workload::Btree => btree::run(btree::Parameters::of(size), seed),
        Workload::Sph => sph::run(sph::Parameters::of(size), seed),
        Workload::Anneal => anneal::run(anneal::Parameters::of(size), seed),
        Workload::Dedup => dedup::run(dedup::Parameters::of(size), seed),
        Workload::FpGrowth => fp_growth::run(fp_growth::Parameters::of(size), seed),
        Workload::SqliteBench => sqlite_bench::run(sqlite_bench::Parameters::of(size), seed),
        Workload::XsLookup => xs_lookup::run(xs_lookup::Parameters::of(size), seed),
    }?;
    let seconds = begin.elapsed().as_secs_f64();
    let is = sum.value();
    let known = known::sum(workload, size, seed);
    match known {
        Some(known) if known != is => Err(Wrong::Sum { is, known }),
        _ => Ok(Done {
            workload,
            size,
            seed,
            counts,
            steps,
            sum: format!("{is:016x}"),
            known: known.is_some(),
            seconds,
        }),
    }
}

/// Waits until the kernel has random numbers, of which names of temporary folders are made: on a machine that has just
/// come up that takes a second or two, which are no work.
fn wait_for_random_numbers() {
    // Whoever needs them and has none will say so.
    let _ = rustix::rand::getrandom(&mut [0_u8], rustix::rand::GetRandomFlags::empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn what_is_tiny_sums_up_to_what_is_known() {
        for &name in Workload::value_variants() {
            let result = run(name, Size::Tiny, SEED).expect("nothing is wrong");
            assert!(result.known, "{name:?}");
        }
    }

    #[test]
    #[ignore = "some minutes when not optimised: `check --all`"]
    fn what_is_larger_sums_up_to_what_is_known() {
        for &name in Workload::value_variants() {
            for size in [Size::Small, Size::Paper] {
                let result = run(name, size, SEED).expect("nothing is wrong");
                assert!(result.known, "{name:?} {size:?}");
            }
        }
    }
}
