// SPDX-License-Identifier: MIT OR Apache-2.0

//! The frequency of the time stamp counter, which the emulator passes through.
//!
//! A microvm has nothing precise to calibrate the TSC against: without being told, its kernel keeps time
//! by ticks of 4 ms. QEMU's TCG reads the machine's own counter (`cpu_get_host_ticks`), so what we measure
//! here holds there.

use std::time::{Duration, Instant};

/// How long to measure: the clock's own error is below a microsecond, so 20 ms give 50 ppm.
const SPAN: Duration = Duration::from_millis(20);

/// The counter's frequency in kHz, measured against the monotonic clock; takes 20 ms.
#[must_use]
pub fn frequency_khz() -> u64 {
    let (start, first) = (Instant::now(), counter());
    std::thread::sleep(SPAN);
    let (span, last) = (start.elapsed(), counter());
    khz(last.wrapping_sub(first), span)
}

/// `ticks` in `span`, as kHz.
fn khz(ticks: u64, span: Duration) -> u64 {
    let khz = u128::from(ticks) * 1_000_000 / span.as_nanos().max(1);
    u64::try_from(khz).unwrap_or(u64::MAX)
}

/// RDTSC (Intel SDM Vol. 2B).
fn counter() -> u64 {
    // SAFETY: RDTSC has no memory operand and, on Linux, is not disabled for user programs unless one
    // asks for that with prctl(PR_SET_TSC), which this program does not.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_over_time_are_kilohertz() {
        assert_eq!(khz(52_000_000, Duration::from_millis(20)), 2_600_000);
        assert_eq!(khz(1, Duration::ZERO), 1_000_000);
    }

    #[test]
    fn this_machine_s_counter_runs_at_the_rate_of_a_processor() {
        let khz = frequency_khz();
        assert!((100_000..=20_000_000).contains(&khz), "{khz} kHz");
    }
}
