// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be wrong.

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// A file of constants cannot be read.
    #[error("the constants: {0}")]
    Constants(String),
    /// A record of the emulator's cannot be read, or two are not one after the other.
    #[error("the counts: {0}")]
    Counts(String),
    /// Something was counted and the machine has no constant for it.
    #[error("the machine {machine} has no constant for {event}, which was counted")]
    NoConstant {
        /// Name of the machine.
        machine: String,
        /// What was counted.
        event: String,
    },
}
