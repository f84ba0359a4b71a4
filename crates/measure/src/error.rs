// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why there is no result.

use std::path::PathBuf;

use cki_machine::MachineError;
use cki_process::exec::ExecError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The measurement did not do what it should, or makes no sense.
    #[error("{0}")]
    Failed(String),
    /// Records of measurements, or what is made of them.
    #[error(transparent)]
    Figures(#[from] cki_figures::Error),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A program that was run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A file of ours.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What the lab should have given.
    #[error(transparent)]
    Lab(Box<dyn std::error::Error + Send + Sync>),
}
