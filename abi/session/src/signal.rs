// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals by number, and what a client does with those that it gets itself.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A Linux signal number, 1..=64 (signal(7), x86-64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "i32", try_from = "i32")]
pub struct Signal(u8);

impl Signal {
    /// The terminal was closed.
    pub const HUP: Signal = Signal(1);
    /// Ctrl-C.
    pub const INT: Signal = Signal(2);
    /// Ctrl-\.
    pub const QUIT: Signal = Signal(3);
    /// The end that nobody can refuse.
    pub const KILL: Signal = Signal(9);
    /// Nobody reads what is written.
    pub const PIPE: Signal = Signal(13);
    /// The end that is asked for.
    pub const TERM: Signal = Signal(15);
    /// Going on after a stop.
    pub const CONT: Signal = Signal(18);
    /// Ctrl-Z.
    pub const TSTP: Signal = Signal(20);
    /// The terminal has another size.
    pub const WINCH: Signal = Signal(28);

    /// The signal with this number, if there is one.
    #[must_use]
    pub const fn new(number: i32) -> Option<Signal> {
        if number >= 1 && number <= 64 {
            Some(Signal(number as u8))
        } else {
            None
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Whether it is sent to end a program: SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM.
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(
            self,
            Signal::HUP | Signal::INT | Signal::QUIT | Signal::KILL | Signal::TERM
        )
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.number()
    }
}

impl TryFrom<i32> for Signal {
    type Error = String;

    fn try_from(number: i32) -> Result<Self, String> {
        Signal::new(number).ok_or_else(|| format!("{number} is no signal: they are 1 to 64"))
    }
}

/// Names of signals 1 to 31, without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `TERM`, `SIGTERM`, `15`, `RTMIN`, `RTMIN+3`, `RTMAX-1`, as people type them.
impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let distance = |rest: &str, sign: char| match rest {
            "" => Some(0),
            rest => rest.strip_prefix(sign)?.parse::<u8>().ok(),
        };
        let number = if let Some(at) = NAMES.iter().position(|known| *known == name) {
            Some(at as i32 + 1)
        } else if let Some(rest) = name.strip_prefix("RTMIN") {
            distance(rest, '+').map(|more| 34 + i32::from(more))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            let less = distance(rest, '-').map(i32::from);
            less.map(|less| 64 - less).filter(|&number| number >= 34)
        } else {
            name.parse().ok()
        };
        number.and_then(Signal::new).ok_or_else(|| {
            format!("{text:?} is no signal: expected a name such as TERM, or 1 to 64")
        })
    }
}

/// Signals that a client passes to the program instead of obeying them: all that can be caught but those
/// that are about the client itself. These are its own faults (SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
/// SIGSEGV, SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGSYS), its own files and children (SIGPIPE, SIGCHLD, SIGURG)
/// and its own place at the terminal (SIGTTIN, SIGTTOU). 32 and 33 are the C library's.
pub const FORWARDED: [Signal; 45] = {
    const STANDARD: [u8; 14] = [1, 2, 3, 10, 12, 14, 15, 18, 20, 26, 27, 28, 29, 30];
    let mut all = [Signal(0); 45];
    let mut at = 0;
    while at < STANDARD.len() {
        all[at] = Signal(STANDARD[at]);
        at += 1;
    }
    let mut number = 34;
    while at < all.len() {
        all[at] = Signal(number);
        number += 1;
        at += 1;
    }
    all
};

/// Those of [`FORWARDED`] that this process hears ([`heard_here`]).
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn forwarded_here() -> io::Result<Vec<Signal>> {
    heard_here(&FORWARDED)
}

/// Those of `signals` that this process does not ignore. Whoever started it had them ignored for a
/// reason (`nohup`, a shell's background job): they are nobody's.
///
/// # Errors
/// When `/proc/self/status` cannot be read.
pub fn heard_here(signals: &[Signal]) -> io::Result<Vec<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let ignored = ignored(&status).ok_or(io::ErrorKind::InvalidData)?;
    let is_heard = |signal: &Signal| ignored >> (signal.number() - 1) & 1 == 0;
    Ok(signals.iter().copied().filter(is_heard).collect())
}

/// The mask of ignored signals in a text such as `/proc/self/status` (proc(5), SigIgn): bit N-1 is signal N.
fn ignored(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Two Ctrl-C within this time end a session at once.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// What a client does with the signals that it gets.
#[derive(Debug, Clone, Default)]
pub struct Forwarding {
    interrupted: Option<Instant>,
}

impl Forwarding {
    /// A client that got no signal yet.
    #[must_use]
    pub const fn new() -> Self {
        Forwarding { interrupted: None }
    }

    /// Whether `signal`, which came at `now`, ends the session at once, as it would end a program that
    /// does nothing about it. Otherwise it is the program's.
    ///
    /// A program that does not run yet has no say, and a second Ctrl-C within two seconds
    /// is for a program that does not listen.
    pub fn ends(&mut self, signal: Signal, now: Instant, started: bool) -> bool {
        if !started {
            return signal.is_ending();
        }
        if signal != Signal::INT {
            return false;
        }
        let before = self.interrupted.replace(now);
        before.is_some_and(|before| now.saturating_duration_since(before) <= IMPATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forwarded_can_be_caught_and_is_named_once() {
        let mut sorted = FORWARDED.map(Signal::number);
        sorted.sort_unstable();
        assert_eq!(sorted, FORWARDED.map(Signal::number));
        for uncatchable in [9, 19] {
            assert!(!sorted.contains(&uncatchable));
        }
        for missing in [
            4, 5, 6, 7, 8, 11, 13, 16, 17, 21, 22, 23, 24, 25, 31, 32, 33,
        ] {
            assert!(!sorted.contains(&missing), "{missing}");
        }
        // With those two and these, all 64 are accounted for.
        assert_eq!(sorted.len() + 2 + 17, 64);
    }

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tcki\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), Some(0x1001));
        assert_eq!(ignored("SigIgn:\tx\n"), None);
        assert_eq!(ignored("SigBlk:\t0000000000000002\n"), None);
    }

    #[test]
    fn a_signal_is_the_programs_and_a_quick_second_interrupt_is_not() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut forwarding = Forwarding::new();
        assert!(!forwarding.ends(Signal::INT, after(0), true));
        assert!(!forwarding.ends(Signal::TERM, after(100), true));
        assert!(!forwarding.ends(Signal::INT, after(2500), true));
        assert!(!forwarding.ends(Signal::INT, after(5000), true));
        assert!(forwarding.ends(Signal::INT, after(7000), true));
    }

    #[test]
    fn before_there_is_a_program_what_would_end_it_ends_the_session() {
        let now = Instant::now();
        for (signal, ends) in [
            (1, true),
            (2, true),
            (3, true),
            (15, true),
            (10, false),
            (28, false),
        ] {
            let signal = Signal::new(signal).unwrap();
            assert_eq!(Forwarding::new().ends(signal, now, false), ends, "{signal}");
        }
    }
}
