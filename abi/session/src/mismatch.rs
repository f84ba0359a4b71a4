// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a client and its server fit together, which the client judges by the server's hello.

use crate::event::{Hello, VERSION};
use crate::process::Process;
use crate::request::{Run, feature, first_missing};

/// Why a server cannot be asked for something: a sentence about the server, with the cause and what to do, to be put
/// behind its name and a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It speaks another version of the protocol.
    #[error(
        "it speaks version {theirs} of the session protocol, and this program speaks version {VERSION}: update {}",
        older(*theirs)
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// It does not honour an optional part of the request, by its name in [`feature`].
    #[error(
        "it does not support `{0}`, which is asked for: update it if it is older than this program, or ask without that"
    )]
    Feature(&'static str),
}

/// Which of the two is to be updated.
fn older(theirs: u32) -> &'static str {
    match theirs < VERSION {
        true => "it, which is older",
        false => "this program, which is older",
    }
}

impl Hello {
    /// Whether a client of this version understands it, whatever it is asked for.
    ///
    /// # Errors
    /// [`Mismatch::Version`].
    pub fn check(&self) -> Result<(), Mismatch> {
        match self.version {
            VERSION => Ok(()),
            theirs => Err(Mismatch::Version { theirs }),
        }
    }

    /// Whether it carries out all that `run` asks for.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn accepts(&self, run: &Run) -> Result<(), Mismatch> {
        self.check()?;
        match run.unsupported(&self.features) {
            Some(name) => Err(Mismatch::Feature(name)),
            None => Ok(()),
        }
    }

    /// Whether it, init of a container, starts `process` beside the container's program
    /// ([`Request::Exec`](crate::Request::Exec)).
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn accepts_beside(&self, process: &Process) -> Result<(), Mismatch> {
        self.check()?;
        let uses = [(feature::EXEC, true)].into_iter().chain(process.uses());
        match first_missing(uses, &self.features) {
            Some(name) => Err(Mismatch::Feature(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Container, Terminal};

    fn of_version(version: u32) -> Hello {
        Hello {
            version,
            ..Hello::new(&[feature::EXEC, feature::CONTAINER], "6.12")
        }
    }

    #[test]
    fn a_server_of_another_version_is_refused_with_both_versions_and_the_side_to_update() {
        for (version, remedy) in [
            (VERSION - 1, "update it, which is older"),
            (VERSION + 1, "update this program, which is older"),
        ] {
            let hello = of_version(version);
            let run = Run::new(["true"]);
            let beside = hello.accepts_beside(&run.process);
            for judged in [hello.check(), hello.accepts(&run), beside] {
                let told = judged.unwrap_err().to_string();
                assert!(told.contains(&format!("version {version} ")), "{told}");
                assert!(told.contains(&format!("version {VERSION}:")), "{told}");
                assert!(told.ends_with(remedy), "{told}");
            }
        }
        assert_eq!(of_version(VERSION).check(), Ok(()));
    }

    #[test]
    fn what_a_server_does_not_honour_is_refused_by_name_with_what_to_do() {
        let mut run = Run::new(["true"]);
        run.container = Some(Container::new(Container::LEAST_MEMORY));
        assert_eq!(of_version(VERSION).accepts(&run), Ok(()));
        let without = Hello::new(&[feature::EXEC], "6.12");
        let refused = without.accepts(&run);
        assert_eq!(refused, Err(Mismatch::Feature(feature::CONTAINER)));
        let told = refused.unwrap_err().to_string();
        assert!(
            told.contains("`container`") && told.contains("update it"),
            "{told}"
        );
        // Another version may mean something else by the same name.
        let old = of_version(VERSION - 1).accepts(&run);
        assert_eq!(
            old,
            Err(Mismatch::Version {
                theirs: VERSION - 1
            })
        );
    }

    #[test]
    fn a_process_beside_a_program_needs_an_init_that_starts_some_with_all_that_it_has() {
        let mut process = Process::new(["true"]);
        assert_eq!(of_version(VERSION).accepts_beside(&process), Ok(()));
        let none = Hello::new(&[feature::TERMINAL], "6.12");
        let refused = none.accepts_beside(&process);
        assert_eq!(refused, Err(Mismatch::Feature(feature::EXEC)));
        process.terminal = Some(Terminal::USUAL);
        let refused = of_version(VERSION).accepts_beside(&process);
        assert_eq!(refused, Err(Mismatch::Feature(feature::TERMINAL)));
    }
}
