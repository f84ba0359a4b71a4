// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that is to go offline, of which the pool has some.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::case::Case;
use crate::device::{self, System};
use crate::plugged::{BLOCKS, block_size};
use cki_abi::limits::CHUNK_SIZE;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![("memory_of_the_pools_is_not_taken_offline", Box::new(stay))]
}

/// The only blocks that are offered are those that the pool has whole: nothing else in them is in the way.
fn stay() -> Result<()> {
    let system = System::open()?;
    let size = block_size()?;
    let mut create = device::create(size * 2 - CHUNK_SIZE);
    let container = system.create(&mut create)?;
    let whole = create.segments[..create.segment_count as usize]
        .iter()
        .find(|segment| segment.base.next_multiple_of(size) + size <= segment.base + segment.size)
        .context("no block is the container's alone")?;
    let state = format!("{BLOCKS}/memory{}/state", whole.base.div_ceil(size));
    let refused = || -> Result<()> {
        let error = fs::write(&state, "offline")
            .err()
            .context("it is offline")?;
        ensure!(error.raw_os_error() == Some(libc::EBUSY), "{error}");
        ensure!(fs::read_to_string(&state)?.trim() == "online");
        Ok(())
    };
    refused().context("with a container")?;
    drop(container);
    refused().context("without")
}
