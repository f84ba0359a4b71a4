// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process of a volume, alone: `cki-volume DIRECTORY ro|rw` serves on standard input. `cki-build` and `cki`
//! contain the same and need no such program; tests do.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match &words[..] {
        [directory, access] if access == "ro" || access == "rw" => {
            cki_volume::serve::main(Path::new(directory), access == "ro")
        }
        _ => {
            // Nobody may be reading; the status says it too.
            let _ = writeln!(std::io::stderr(), "usage: cki-volume DIRECTORY ro|rw");
            ExitCode::from(2)
        }
    }
}
