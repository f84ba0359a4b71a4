// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exit statuses of `cki-build`, in one place because scripts depend on them.

use std::process::ExitCode;

/// Exit status of the process, 0..=255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// What was asked was done, and the answer is yes.
    pub const OK: Self = Self(0);
    /// What was asked was done, and the answer is no: a test failed, two builds differ, something is missing.
    pub const NO: Self = Self(1);
    /// `run --timeout` ended the program.
    pub const TIMEOUT: Self = Self(124);
    /// `cki-build` itself failed, wrong usage included.
    pub const FAILED: Self = Self(125);
    /// The program exists in the image but cannot be executed.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// There is no such program in the image.
    pub const NOT_FOUND: Self = Self(127);

    /// Status of a program that a signal ended: 128+N, as a shell gives it.
    ///
    /// `signal` is a Linux signal number, 1..=64; anything else gives [`Status::FAILED`].
    #[must_use]
    pub fn signaled(signal: i32) -> Self {
        match u8::try_from(signal) {
            Ok(number @ 1..=64) => Self(128 + number),
            _ => Self::FAILED,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.0)
    }
}

/// The table that `--help` ends with.
pub const HELP: &str = "\
Exit status:
  0      done; for `run`, the program's own status (also every other one not listed here)
  1      the answer is no: a test failed, two builds differ, `doctor` found something missing
  124    `run --timeout` ended the program
  125    cki-build itself failed, or was called with wrong arguments
  126    `run`: the program cannot be executed
  127    `run`: no such program in the image
  128+N  `run`: signal N ended the program; 130 after Ctrl-C, 141 when nobody reads the output";

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn death_by_signal_is_128_plus_its_number() {
        assert_eq!(Status::signaled(9), Status(137));
        assert_eq!(Status::signaled(2), Status(130));
        assert_eq!(Status::signaled(64), Status(192));
    }

    #[test]
    fn a_number_that_is_no_signal_is_our_own_failure() {
        for number in [-1, 0, 65, 400] {
            assert_eq!(Status::signaled(number), Status::FAILED);
        }
    }
}
