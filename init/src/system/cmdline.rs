// SPDX-License-Identifier: MIT OR Apache-2.0

//! Init's own parameters on the kernel command line (`/proc/cmdline`).

use cki_session::cmdline::{MODE, Mode, POOL, RUNTIME, value};
use cki_session::{Memory, MemoryError};

use crate::system::digest::Digest;

/// A parameter of ours that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// None of the known modes.
    #[error("{MODE}={0} on the kernel command line is none of session, machine and shell")]
    Mode(String),
    /// No amount of memory.
    #[error("{POOL}={text} on the kernel command line: {source}")]
    Pool {
        /// What it says.
        text: String,
        /// What is wrong with it.
        source: MemoryError,
    },
    /// No digest.
    #[error("{RUNTIME}={0} on the kernel command line is no SHA-256 of so many bytes (HEX:BYTES)")]
    Runtime(String),
}

/// The mode that the kernel command line asks for.
///
/// # Errors
/// [`ParameterError::Mode`] when it names a mode that does not exist.
pub fn mode(cmdline: &str) -> Result<Mode, ParameterError> {
    let unknown = |name: &str| ParameterError::Mode(name.to_owned());
    value(cmdline, MODE).map_or(Ok(Mode::Shell), |name| {
        Mode::named(name).ok_or_else(|| unknown(name))
    })
}

/// Memory that a machine with a shell keeps for containers ([`POOL`]). A session's pool
/// is as large as its container.
///
/// # Errors
/// [`ParameterError::Pool`] when it is invalid.
pub fn pool(cmdline: &str) -> Result<Option<Memory>, ParameterError> {
    let parse = |text: &str| {
        text.parse().map_err(|source| ParameterError::Pool {
            text: text.to_owned(),
            source,
        })
    };
    value(cmdline, POOL).map(parse).transpose()
}

/// What the runtime disk holds, where no serial number tells which disk it is ([`RUNTIME`]).
///
/// # Errors
/// [`ParameterError::Runtime`] when it is invalid.
pub fn runtime(cmdline: &str) -> Result<Option<Digest>, ParameterError> {
    let parse =
        |text: &str| Digest::parse(text).ok_or_else(|| ParameterError::Runtime(text.to_owned()));
    value(cmdline, RUNTIME).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mode_there_is_a_shell() {
        assert_eq!(mode("console=ttyS0 quiet\n"), Ok(Mode::Shell));
    }

    #[test]
    fn the_last_mode_wins() {
        for (last, expected) in [("session", Mode::Session), ("machine", Mode::Machine)] {
            let cmdline = format!("cki.mode=shell quiet cki.mode={last}\n");
            assert_eq!(mode(&cmdline), Ok(expected));
        }
    }

    #[test]
    fn an_unknown_mode_is_refused() {
        assert_eq!(
            mode("cki.mode=sesion"),
            Err(ParameterError::Mode("sesion".to_owned()))
        );
    }

    #[test]
    fn a_pool_is_an_amount_of_memory() {
        let mib = |text| pool(text).map(|pool| pool.map(Memory::mib));
        assert_eq!(mib("quiet cki.pool=128"), Ok(Some(128)));
        assert_eq!(mib("quiet cki.pool=1.5G"), Ok(Some(1536)));
        assert_eq!(mib("quiet cki.poolside=128"), Ok(None));
        let error = mib("cki.pool=much").unwrap_err().to_string();
        assert!(error.contains("cki.pool=much"), "{error}");
    }

    #[test]
    fn what_the_runtime_disk_holds_is_a_digest() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(runtime("quiet"), Ok(None));
        let found = runtime(&format!("quiet cki.runtime={hex}:0\n"));
        assert_eq!(found, Ok(Some(Digest::of(b""))));
        for invalid in ["", hex, &hex[1..], &format!("{hex}:"), &format!("{hex}:-1")] {
            let error = runtime(&format!("cki.runtime={invalid}")).unwrap_err();
            assert_eq!(error, ParameterError::Runtime(invalid.to_owned()));
        }
    }
}
