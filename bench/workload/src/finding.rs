// SPDX-License-Identifier: MIT OR Apache-2.0

//! What comes out.

use thiserror::Error;

use crate::sum::Sum;

/// What a workload found out about its input.
#[derive(Debug, Default)]
pub struct Finding {
    /// Figures with a name, in the order in which they are shown.
    pub counts: Vec<(&'static str, u64)>,
    /// How many seconds each part took by the clock, of a workload that has parts.
    pub steps: Vec<(&'static str, f64)>,
    /// Of the whole result.
    pub sum: Sum,
}

/// A result that is not right.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Wrong {
    /// What the workload itself has noticed.
    #[error("the result is wrong: {0}")]
    Result(&'static str),
    /// What it works with said no, for this reason.
    #[error("the work could not be done: {0}")]
    Failed(String),
    /// It differs from what is known.
    #[error(
        "the result is wrong: its sum is {is:016x}, and {known:016x} is known for this size and seed"
    )]
    Sum {
        /// The sum of this result.
        is: u64,
        /// The sum that is known.
        known: u64,
    },
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(format!("SQLite: {error}"))
    }
}

impl From<rusqlite::types::FromSqlError> for Wrong {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Failed(format!("SQLite: {error}"))
    }
}
