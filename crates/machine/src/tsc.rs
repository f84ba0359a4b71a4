// SPDX-License-Identifier: MIT OR Apache-2.0

//! The frequency of the time stamp counter, which the emulator passes through.
//!
//! A microvm has nothing precise to calibrate the TSC against: without being told, its kernel keeps time
//! by ticks of 4 ms. QEMU's TCG reads the machine's own counter (`cpu_get_host_ticks`), so what we measure
//! here holds there.

use std::time::{Duration, Instant};

/// How long to measure: the clock's own error is below a microsecond, so 20 ms give 50 ppm.
const SPAN: Duration = Duration::from_millis(20);
/// How long a measurement may take: meanwhile, the machine may have slept or moved, which only one of the two clocks
/// notices.
const LIMIT: Duration = Duration::from_secs(1);

/// A measurement of the counter's frequency against the monotonic clock, which goes on while other things are done.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    start: Instant,
    first: u64,
}

impl Measurement {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        let (start, first) = (Instant::now(), counter());
        Self { start, first }
    }

    /// The frequency in kHz; waits until 20 ms have been measured, anew if it was begun more than a second ago.
    #[must_use]
    pub fn khz(self) -> u64 {
        if self.start.elapsed() > LIMIT {
            return Self::start().khz();
        }
        std::thread::sleep(SPAN.saturating_sub(self.start.elapsed()));
        let (span, last) = (self.start.elapsed(), counter());
        khz(last.wrapping_sub(self.first), span)
    }
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
        let measurement = Measurement::start();
        let khz = measurement.khz();
        assert!(measurement.start.elapsed() >= SPAN);
        assert!((100_000..=20_000_000).contains(&khz), "{khz} kHz");
        // It is no other for having been begun earlier, and what is too old does not count.
        let longer = measurement.khz();
        assert!(longer.abs_diff(khz) < khz / 10, "{khz} and {longer} kHz");
        let slept = Measurement {
            start: Instant::now() - LIMIT * 2,
            first: counter(),
        };
        let after = slept.khz();
        assert!(after.abs_diff(khz) < khz / 10, "{khz} and {after} kHz");
    }
}
