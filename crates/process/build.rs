// SPDX-License-Identifier: MIT OR Apache-2.0

//! Refuses to build for what CKI is not for, in a sentence instead of errors of assembly and missing names.

use std::env;
use std::io::{self, Write as _};

#[path = "src/target.rs"]
mod target;

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let system = variable("CARGO_CFG_TARGET_OS");
    let processor = variable("CARGO_CFG_TARGET_ARCH");
    let mut out = io::stdout();
    writeln!(out, "cargo::rerun-if-changed=build.rs")?;
    writeln!(out, "cargo::rerun-if-changed=src/target.rs")?;
    if let Some(why) = target::refusal(&system, &processor) {
        writeln!(out, "cargo::error={why}")?;
    }
    Ok(())
}
