// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is plugged in while there are containers, where the host's kernel needs a new entry of its topmost
//! table for it. For a kernel that has it plugged in by hand: there is none behind the address, and the witness
//! (`tests/witness`) refuses, behind all others, that it is used.
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::case::Case;
use crate::device::{self, System};
use crate::witness::ask;
use cki_abi::limits::CHUNK_SIZE;

/// Where the kernel has them.
pub const BLOCKS: &str = "/sys/devices/system/memory";
/// In the direct map, the first byte of what an L4 entry of its own maps.
const ADDRESS: u64 = 512 << 30;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "the_bridges_follow_memory_that_is_plugged_in",
        Box::new(follow),
    )]
}

/// Of so many bridges, so many lack an entry.
fn bridges(all: u32, lacking: u32) -> Result<()> {
    let (seen, expected) = (ask("bridges")?, format!("{all} {lacking}"));
    ensure!(
        seen == expected,
        "bridges, and those that lack an entry: {seen}, not {expected}"
    );
    Ok(())
}

/// Of the blocks that memory comes and goes in.
pub fn block_size() -> Result<u64> {
    let size = fs::read_to_string(format!("{BLOCKS}/block_size_bytes"))?;
    Ok(u64::from_str_radix(size.trim(), 16)?)
}

fn follow() -> Result<()> {
    let system = System::open()?;
    let older = system.create(&mut device::create(CHUNK_SIZE))?;
    bridges(1, 0)?;
    let size = block_size()?;
    fs::write(format!("{BLOCKS}/probe"), format!("{ADDRESS:#x}")).context("probe")?;
    // The kernel's own table has the new entry.
    bridges(1, 1)?;
    let state = format!("{BLOCKS}/memory{}/state", ADDRESS / size);
    let used = fs::write(&state, "online");
    ensure!(used.is_err(), "memory that there is not is used");
    bridges(1, 0)?;
    let newer = system.create(&mut device::create(CHUNK_SIZE))?;
    bridges(2, 0)?;
    drop((older, newer));
    bridges(0, 0)
}
