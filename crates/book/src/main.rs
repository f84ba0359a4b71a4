// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-book TREE OUT`: checks the documents of a source tree and writes their site to OUT.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use cki_book::{BookError, check, site};

fn run(tree: &Path, out: &Path) -> Result<(), BookError> {
    let faults = check::all(tree)?;
    if !faults.is_empty() {
        return Err(BookError::Faults(faults));
    }
    site::write(tree, out)
}

/// Nobody may be reading; the status says it too.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [tree, out] = arguments.as_slice() else {
        complain("usage: cki-book TREE OUT");
        return ExitCode::from(2);
    };
    match run(Path::new(tree), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
