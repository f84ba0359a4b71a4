// SPDX-License-Identifier: MIT OR Apache-2.0

//! PID 1 of a container.

use std::io::{self, Write as _};

use anyhow::{Context, Result, ensure};

use crate::machine;
use crate::work::{self, Region};

/// Pages of the region for [`cki_micro::mode::FAULTS`].
pub const FAULTS_MAX: u32 = 16_384;

/// Prints the counter's value at its first instruction, then what the program in a process of its own
/// measures, as on the machine itself.
pub fn work(first: u64) -> Result<()> {
    machine::set_up()?;
    writeln!(io::stdout(), "{first}")?;
    let status = work::command().status().context("cannot start a process")?;
    ensure!(status.success(), "{status}");
    machine::power_off()
}

/// Touches `faults` pages whose tables are there already, and ends without giving anything back.
pub fn faults(first: u64, faults: u32) -> Result<()> {
    machine::set_up()?;
    writeln!(io::stdout(), "{first}")?;
    let region = Region::new(FAULTS_MAX)?;
    region.touch(FAULTS_MAX);
    region.forget();
    region.touch(faults);
    machine::power_off()
}
