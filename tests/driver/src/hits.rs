// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the walks over every instruction have in common: where the text is, and what is told of a round.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::probe::Action;

/// As "hypercall", with text of the guest's at the module's addresses.
pub const ALIAS: &str = "hypercall_with_an_alias";
/// To user mode and back.
pub const USER: &str = "way_to_user_mode";
/// Failures after which a scenario is given up.
pub const FAILURES: usize = 8;
/// The container's text, where the guest has it.
pub const TEXT_SIZE: u64 = 0x8000;
/// The monitor's image: 2 MiB at most, of which data is never executed.
pub const IMAGE_SIZE: u64 = 0x20_0000;

/// Module text that runs on neither side's tables alone.
pub fn module_text() -> Result<(u64, u64)> {
    let section = |name: &str| -> Result<u64> {
        let path = format!("/sys/module/cki/sections/{name}");
        let text = fs::read_to_string(&path).context(path)?;
        Ok(u64::from_str_radix(
            text.trim().trim_start_matches("0x"),
            16,
        )?)
    };
    let start = section(".noinstr.text").or_else(|_| section(".text"))?;
    // As far as the section goes in any build; what else is on these pages only makes a round longer.
    Ok((start, start + 0x1000))
}

/// Tells the test where events struck.
pub fn print_hits(action: Action, scenario: &str, hits: &BTreeSet<u64>) {
    let event = match action {
        Action::MachineCheck => "mce",
        Action::Nmi | Action::Nothing => "nmi",
    };
    let hits: Vec<_> = hits.iter().map(|at| format!("{at:x}")).collect();
    println!("hit {event} {scenario} {}", hits.join(" "));
}

/// A container that the host has ended because of a machine check.
#[derive(Debug)]
pub struct EndedByMachineCheck;

impl std::fmt::Display for EndedByMachineCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ended by a machine check")
    }
}

impl std::error::Error for EndedByMachineCheck {}
