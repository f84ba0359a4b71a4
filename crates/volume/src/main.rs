// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process of a volume, alone. `cki-build` and `cki` contain the same and need no such program; tests do.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    cki_volume::serve::if_asked().unwrap_or_else(|| {
        // Nobody may be reading; the status says it too.
        let _ = writeln!(
            std::io::stderr(),
            "usage: cki-volume serve-volume ro|rw DIRECTORY"
        );
        ExitCode::from(2)
    })
}
