// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `cki-build bench micro` and the program in its machine have in common: the lines that the
//! program prints, and the archive with which it gets into the machine and into the container.
//!
//! Used by: its program, and `cki-measure`, which reads what that prints. May use: `cki-session`.

pub mod archive;

use serde::{Deserialize, Serialize};

/// Name of the program in the initial file systems.
pub const PROGRAM: &str = "cki-micro";

/// Name of the driver of the monitor's tests in the machine's: its guests measure the gates.
pub const DRIVER: &str = "cki-monitor-driver";
/// The driver's word for that.
pub const DRIVER_WORD: &str = "bench";

/// Word of a kernel's command line that tells PID 1 what to do: `cki_micro="MODE ARGUMENT ..."`. What
/// follows `--` would be shorter, if the emulator did not append words of its own there.
pub const VARIABLE: &str = "cki_micro";

/// What it can do.
pub mod mode {
    /// PID 1 of the machine; the container's memory in MiB and words for its kernel follow.
    pub const HOST: &str = "host";
    /// PID 1 of a container: runs [`WORK`].
    pub const GUEST: &str = "guest";
    /// PID 1 of a container: page faults only; their number follows.
    pub const FAULTS: &str = "faults";
    /// The measurements, one line each.
    pub const WORK: &str = "work";
}

/// Names of the measurements.
pub mod name {
    /// System call `getpid`.
    pub const GETPID: &str = "getpid";
    /// First touch of an anonymous page.
    pub const PAGE_FAULT: &str = "page_fault";
    /// fork, exit of the child, wait.
    pub const FORK: &str = "fork_exit_wait";
    /// A byte to another process and back.
    pub const PIPE: &str = "pipe_round_trip";
    /// mmap and munmap of an untouched page.
    pub const MMAP: &str = "mmap_munmap";
    /// mprotect of a touched page.
    pub const MPROTECT: &str = "mprotect";
}

/// Instructions of one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which.
    pub name: String,
    /// Median over batches: without the timer's interrupts, which strike few of them.
    pub instructions: f64,
    /// Mean over batches: with them.
    pub mean: f64,
    /// Operations.
    pub repetitions: u32,
}

/// Where something ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the machine's own kernel.
    Native,
    /// In a container.
    Container,
}

/// What PID 1 of the machine prints. Counts are values of the time stamp counter, which is the number of
/// instructions since the machine's start plus the nanoseconds that it was idle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The machine's kernel has started PID 1.
    Boot {
        /// First instruction of PID 1.
        init: u64,
        /// Nanoseconds of idleness until then.
        idle: u64,
    },
    /// A call of the monitor's or the module's, from the gate's first instruction to its return.
    Gate {
        /// Which, as the driver of the monitor's tests names it.
        name: String,
        /// Instructions.
        count: u64,
    },
    /// A measurement.
    Sample {
        /// Where.
        place: Place,
        /// Its result.
        sample: Sample,
    },
    /// A container was started.
    Start {
        /// Right before the launcher's exec.
        exec: u64,
        /// First instruction of PID 1 in it.
        init: u64,
        /// Nanoseconds that the machine was idle in between.
        idle: u64,
    },
    /// A container has ended.
    End {
        /// Page faults that its program provoked and nothing else, if that was its work.
        faults: Option<u64>,
        /// Largest resident memory of the launcher, without the container's.
        launcher_bytes: u64,
        /// What the launcher counted.
        counts: Counts,
    },
    /// All is done.
    Done,
    /// Something failed.
    Failed {
        /// What.
        message: String,
    },
}

/// What `cki run --print-counts` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The container's memory.
    pub memory_bytes: u64,
    /// Its monitor's.
    pub monitor_bytes: u64,
    /// Calls of the monitor's gate, without hypercalls and returns.
    pub monitor_calls: u64,
    /// Returns by the monitor's other gate.
    pub monitor_returns: u64,
    /// Hypercalls.
    pub hypercalls: u64,
    /// Physical interrupts that struck in the container.
    pub interrupts: u64,
}
