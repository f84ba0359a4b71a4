// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which work there is, and how much of it: what `cki-workload` and those who have it do something say alike.
//!
//! A crate of its own, because the work itself needs much, SQLite among it, that the tool is not to be made of.
//!
//! Used by: `cki-measure`, `cki-workload`. May use: no crate of ours.

use std::fmt::{self, Display};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The seed when none is named, for which sums are known.
pub const SEED: u64 = 1;

/// Which workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Build a B-tree, look up elements
    Btree,
    /// Let a fluid of particles fall in a box
    Sph,
    /// Look up cross sections of materials
    XsLookup,
    /// Place elements of a circuit so that wires are short
    Anneal,
    /// Cut a stream into chunks, store each chunk once, compressed
    Dedup,
    /// Find sets of items that are often bought together
    FpGrowth,
    /// Write and read rows of SQLite, in order and at random
    SqliteBench,
}

impl Display for Workload {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        to.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// Seconds in the emulator
    Tiny,
    /// Seconds on a real processor
    Small,
    /// As much as the paper's artifact has
    Paper,
}
