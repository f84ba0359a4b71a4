// SPDX-License-Identifier: MIT OR Apache-2.0

//! What comes out.

use thiserror::Error;

use crate::sum::Sum;

/// What a workload found out about its input.
#[derive(Debug, Default)]
pub struct Finding {
    /// Figures with a name, in the order in which they are shown.
    pub counts: Vec<(&'static str, u64)>,
    /// Of the whole result.
    pub sum: Sum,
}

/// A result that is not right.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Wrong {
    /// What the workload itself has noticed.
    #[error("the result is wrong: {0}")]
    Result(&'static str),
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
