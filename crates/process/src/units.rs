// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sizes as people read them.

/// `bytes` as a person reads it, such as `1.5 GiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
