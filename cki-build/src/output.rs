// SPDX-License-Identifier: MIT OR Apache-2.0

//! Standard output, which belongs to the result of a command.

use std::io::Write as _;

use serde::Serialize;

use crate::error::Error;

/// Writes a line to standard output.
///
/// # Errors
/// [`Error::BrokenPipe`] when nobody reads it, [`Error::Io`].
pub fn print(text: &str) -> Result<(), Error> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Writes a value as JSON to standard output.
///
/// # Errors
/// [`Error::BrokenPipe`] when nobody reads it, [`Error::Io`].
pub fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Io {
        path: "JSON".into(),
        source: error.into(),
    })?;
    print(&text)
}

/// Writes bytes to standard output.
///
/// # Errors
/// [`Error::BrokenPipe`] when nobody reads it, [`Error::Io`].
pub fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| {
            if source.kind() == std::io::ErrorKind::BrokenPipe {
                Error::BrokenPipe
            } else {
                Error::Io {
                    path: "standard output".into(),
                    source,
                }
            }
        })
}
