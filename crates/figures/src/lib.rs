// SPDX-License-Identifier: MIT OR Apache-2.0

//! The paper's figures 12, 14 and 16, measured again.
//!
//! What was measured is a [`Record`], a line in a file that later runs go on with ([`record`]). Of records, a
//! [`Figure`] makes bars with medians and spread ([`Summary`]), two files are compared ([`Comparison`]), bars are drawn
//! ([`chart`]), and a [`Report`] says what the paper claims beside what was measured.
//!
//! Used by: `cki-measure`. May use: none of ours.

#![forbid(unsafe_code)]

pub mod chart;
mod compare;
mod error;
mod figure;
pub mod published;
pub mod record;
mod report;
mod summary;

pub use compare::Comparison;
pub use error::Error;
pub use figure::{Figure, REQUESTS};
pub use record::{Computer, Key, Origin, Record, Took};
pub use report::Report;
pub use summary::{Bar, Refused, Summary};
