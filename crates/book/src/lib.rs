// SPDX-License-Identifier: MIT OR Apache-2.0

//! The book: `docs/` as a static site, and the checks that keep its text true.
//!
//! [`contents`] reads the order of the pages from `docs/README.md`; [`page`] turns one Markdown file into HTML;
//! [`tree`] finds the files that a page names, `source` shows them; [`site`] writes everything, with an [`index`];
//! [`check`] looks for
//! links, anchors and paths that lead nowhere, and for lines that are too wide. [`figures`] knows which sentence gives
//! which figure that is counted, and [`tables`] what a table lists.
//! Used by: its program, which the package `cki-docs` runs, and its tests; `tests/`, which counts, has `figures` as a
//! file, and the tests of the tool have `tables` as one. May use: no crate of ours.

#![forbid(unsafe_code)]

pub mod check;
pub mod contents;
pub mod figures;
pub mod index;
mod links;
pub mod page;
mod paths;
pub mod site;
mod source;
pub mod tables;
pub mod tree;

use std::io;
use std::path::PathBuf;

/// Why there is no book.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// `docs/README.md` does not list the pages as it should.
    #[error("docs/README.md: {0}")]
    Contents(String),
    /// A page names something that is not there.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
}

/// Reads a text file; the error names it.
fn read(path: PathBuf) -> Result<String, BookError> {
    std::fs::read_to_string(&path).map_err(|source| BookError::Io { path, source })
}
