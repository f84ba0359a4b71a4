// SPDX-License-Identifier: MIT OR Apache-2.0

//! What cases are, and what several of them ask.

use anyhow::{Context, Result, ensure};
use cki_abi::layout::IMAGE_BASE;

/// One case.
pub type Case = Box<dyn Fn() -> Result<()>>;

/// Where WRPKRS stands in the monitor's gates.
pub fn wrpkrs_of_the_gates() -> Result<Vec<u64>> {
    let image = std::fs::read("/lib/firmware/cki/ksm").context("the monitor")?;
    // The gates are the first page of the first segment.
    let offset = u64::from_le_bytes(image[64 + 8..64 + 16].try_into()?) as usize;
    let found: Vec<u64> = image[offset..offset + 0x1000]
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| *bytes == cki_abi::isa::WRPKRS)
        .map(|(at, _)| IMAGE_BASE + at as u64)
        .collect();
    ensure!(found.len() == 4, "WRPKRS at {found:x?}");
    Ok(found)
}
