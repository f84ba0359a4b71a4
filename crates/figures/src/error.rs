// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of records or a picture cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is no record.
    #[error(
        "{path}, line {line}: {source}; move the file away, or take the line out, to measure again"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file has nothing that belongs to a figure.
    #[error(
        "{0} has no records; `cki-build bench fig12`, `fig14` and `fig16` write such files, into the folder of --log"
    )]
    NoRecords(PathBuf),
    /// Two files have no bar in common.
    #[error("{0} and {1} have no bar in common: no work, size and runtime is in both")]
    NothingInCommon(PathBuf, PathBuf),
    /// A picture cannot be drawn.
    #[error("cannot draw: {0}")]
    Draw(String),
}

impl Error {
    /// Makes one of a file's.
    pub(crate) fn file(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            path: path.clone(),
            source,
        }
    }
}
