// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exit statuses of `cki-build` and `cki`, in one place because scripts depend on them.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::printable::printable;
use crate::signal::Signal;

/// Exit status of a process, 0..=255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// What was asked was done, and the answer is yes.
    pub const OK: Self = Self(0);
    /// What was asked was done, and the answer is no: a test failed, two builds differ, something is missing.
    pub const NO: Self = Self(1);
    /// `run --timeout` ended the program.
    pub const TIMEOUT: Self = Self(124);
    /// The command itself failed, or was called with wrong arguments.
    pub const FAILED: Self = Self(125);
    /// The program exists in the image but cannot be executed.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// There is no such program in the image.
    pub const NOT_FOUND: Self = Self(127);

    /// The lines of `--help` about `run`, which `cki-build` and `cki` share.
    pub const RUN_HELP: &'static str = "  \
  124    `run --timeout` ended the program
  125    the command itself failed, or was called with wrong arguments
  126    the program cannot be executed
  127    there is no such program in the image
  128+N  signal N ended the program; of other commands, 130 after Ctrl-C, 141 when nobody reads the output";

    /// Status of a program that a signal ended: 128+N, as a shell gives it.
    #[must_use]
    pub const fn signaled(signal: Signal) -> Self {
        Self(128 + signal.number() as u8)
    }

    /// Ends a command whose arguments were not understood, or that was asked for help: says `text` and
    /// gives the status. A mistake is never 2, which could be the status of a program that was run.
    ///
    /// Help that could not be written is a failure, unless its reader had enough (`--help | head -1`).
    #[must_use]
    pub fn of_usage(text: &str, mistake: bool) -> Self {
        let said = if mistake {
            say(&mut io::stderr(), text)
        } else {
            say(&mut io::stdout(), text)
        };
        match said {
            _ if mistake => Self::FAILED,
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                // The status says it too.
                let _ = say(
                    &mut io::stderr(),
                    &format!("cannot write the help: {error}\n"),
                );
                Self::FAILED
            }
            _ => Self::OK,
        }
    }
}

/// Writes a line to standard error, which is where a program says what it has to say itself, as [`printable`]
/// characters. Nobody may be reading; there is no other place to say so, and the status says the most of it.
pub fn complain(text: &str) {
    let _ = say(&mut io::stderr(), &format!("{}\n", printable(text)));
}

fn say(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn death_by_signal_is_128_plus_its_number() {
        assert_eq!(Status::signaled(Signal::KILL), Status(137));
        assert_eq!(Status::signaled(Signal::INT), Status(130));
        assert_eq!(Status::signaled(Signal::new(64).unwrap()), Status(192));
    }

    #[test]
    fn a_mistake_is_our_own_failure() {
        assert_eq!(Status::of_usage("a mistake\n", true), Status::FAILED);
    }
}
