// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a system is called.

/// A system's name, short enough for a line.
#[must_use]
pub fn short(name: &str) -> &str {
    let hash = name.split_once(':').map_or(name, |(_, hash)| hash);
    hash.get(..12).unwrap_or(hash)
}
