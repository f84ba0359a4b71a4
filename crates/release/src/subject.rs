// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is released: the commit and the outputs that were built of it.

use serde::{Deserialize, Serialize};

/// The release as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Version of the product.
    pub version: String,
    /// The commit, in hexadecimal.
    pub commit: String,
    /// The commit's time, as `2026-07-11T10:16:37Z`.
    pub time: String,
    /// What was built, by name.
    pub outputs: Vec<Output>,
}

/// An output of the flake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its attribute.
    pub name: String,
    /// Its path in the Nix store.
    pub path: String,
    /// SHA-256 of its Nix archive, lower-case hexadecimal.
    pub sha256: String,
}
