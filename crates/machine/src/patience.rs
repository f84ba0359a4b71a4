// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long a machine may take to start its program: a machine that hangs is ended, one whose computer has no time
//! for it is not.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time from QEMU's start to the program's. It takes seconds; past this the machine hangs.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(120);

/// What the kernel has counted of a process (Linux, Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    /// The processor time of its threads together.
    ran: Duration,
    /// How long that thread was kept waiting for a processor which waited longest.
    waited: Duration,
}

impl Counted {
    /// What was counted until now; nothing of a process that is gone, or by a kernel that does not count.
    fn of(pid: u32) -> Self {
        let threads = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
        let numbers = threads
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|thread| {
                let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
                let mut numbers = text.split_whitespace().map(str::parse);
                Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
            });
        numbers.fold(Self::default(), |sum, (ran, waited)| Self {
            ran: sum.ran + Duration::from_nanos(ran),
            waited: sum.waited.max(Duration::from_nanos(waited)),
        })
    }
}

/// Waits for a machine to start its program.
///
/// The time in which the emulator wanted a processor and had none is not counted: it is the computer's, and says
/// nothing about the machine. Time in which it ran counts, and time in which it slept.
#[derive(Debug)]
pub(crate) struct Patience {
    pid: Option<u32>,
    start: Instant,
    limit: Duration,
    counted: Counted,
}

impl Patience {
    /// For an emulator that was started at `start` as the process `pid`.
    pub(crate) fn new(pid: Option<u32>, start: Instant, limit: Duration) -> Self {
        Self {
            pid,
            start,
            limit,
            counted: Counted::default(),
        }
    }

    /// When the time is over, as far as is known now.
    pub(crate) fn deadline(&self) -> Instant {
        self.start + self.limit + self.counted.waited
    }

    /// Looks anew at the emulator; whether the time is over.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = self.pid.map(Counted::of).unwrap_or_default();
        // A thread that has ended takes its own with it.
        self.counted = Counted {
            ran: now.ran.max(self.counted.ran),
            waited: now.waited.max(self.counted.waited),
        };
        self.deadline() <= Instant::now()
    }

    /// What became of the machine, once the time is over.
    pub(crate) fn describe(&self) -> String {
        let Counted { ran, waited } = self.counted;
        format!(
            "did not start the program within {} s (processor time of the emulator: {:.1} s; it waited another \
             {:.1} s for a processor)",
            self.limit.as_secs_f64(),
            ran.as_secs_f64(),
            waited.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_what_a_process_runs() {
        let us = std::process::id();
        let before = Counted::of(us);
        let start = Instant::now();
        while Counted::of(us).ran < before.ran + Duration::from_millis(50) {
            assert!(start.elapsed() < Duration::from_secs(60), "{before:?}");
        }
        assert_eq!(Counted::of(u32::MAX), Counted::default());
    }

    #[test]
    fn time_without_a_processor_does_not_count() {
        let limit = Duration::from_secs(100);
        let start = Instant::now() - Duration::from_secs(150);
        let mut patience = Patience::new(None, start, limit);
        assert!(patience.is_over());
        patience.counted.waited = Duration::from_secs(60);
        assert!(!patience.is_over());
        assert_eq!(patience.deadline(), start + Duration::from_secs(160));
        patience.counted.waited = Duration::from_secs(40);
        assert!(patience.is_over());
    }
}
