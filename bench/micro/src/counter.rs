// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counting: the time stamp counter, batches, medians.

use cki_micro::Sample;

/// RDTSC. Under `-icount shift=0` the emulator gives the number of instructions, this one included.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: RDTSC has no memory operand, and neither kernel disables it for programs.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Runs batches of `operations` each and gives the instructions of one operation. `between` is not
/// counted; it comes before each batch.
pub fn sample(
    name: &str,
    batches: u32,
    operations: u32,
    mut between: impl FnMut(),
    mut batch: impl FnMut(u32),
) -> Sample {
    let overhead = (0..16).map(|_| empty()).min().unwrap_or_default();
    // Once for nothing: page tables, caches of the kernel, the emulator's lazy state.
    between();
    batch(operations);
    let mut counts: Vec<u64> = (0..batches)
        .map(|_| {
            between();
            let start = now();
            batch(operations);
            now() - start - overhead
        })
        .collect();
    counts.sort_unstable();
    let total: u64 = counts.iter().sum();
    Sample {
        name: name.to_owned(),
        instructions: counts[counts.len() / 2] as f64 / f64::from(operations),
        mean: total as f64 / f64::from(operations) / f64::from(batches),
        repetitions: batches * operations,
    }
}

fn empty() -> u64 {
    let start = now();
    now() - start
}
