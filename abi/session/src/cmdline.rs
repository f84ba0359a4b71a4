// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parameters of ours on the command line of a kernel: some programs write them, others read them.
//!
//! The boot files in `images/` have them as text; a test compares.

use std::fmt;

/// What init is started for: a [`Mode`].
pub const MODE: &str = "cki.mode";
/// Memory that the host keeps for containers (`cki.pool=128M`; a number alone is MiB).
pub const POOL: &str = "cki.pool";
/// What the runtime disk holds, where no serial number tells which disk it is (`cki.runtime=SHA256:BYTES`).
pub const RUNTIME: &str = "cki.runtime";
/// The root file system of the system disk, and the hash of its root (`cki.system=BLOCKS:ROOTHASH`).
pub const SYSTEM: &str = "cki.system";

/// All of them.
pub const ALL: [&str; 4] = [MODE, POOL, RUNTIME, SYSTEM];

/// What init is started for. Written out, it is the word of the command line: `cki.mode=session`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Run the program that the client names over the control port.
    Session,
    /// Stay up, and serve clients as whoever keeps the machine up says.
    Machine,
    /// A shell on every console; so it is without a mode, too.
    Shell,
}

impl Mode {
    /// The value of [`MODE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Session => "session",
            Mode::Machine => "machine",
            Mode::Shell => "shell",
        }
    }

    /// The mode with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Mode::Session, Mode::Machine, Mode::Shell];
        all.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{MODE}={}", self.name())
    }
}

/// The value of `name=` on `cmdline`; the last one wins, as with the kernel's own parameters.
#[must_use]
pub fn value<'a>(cmdline: &'a str, name: &str) -> Option<&'a str> {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .next_back()
}
