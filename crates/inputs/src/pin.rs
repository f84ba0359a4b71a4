// SPDX-License-Identifier: MIT OR Apache-2.0

//! The indexes of a suite, and how they are pinned.

use serde::{Deserialize, Serialize};

/// An index that is pinned by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexPin {
    /// Path below `dists/SUITE/`.
    pub path: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Size of the file in bytes.
    pub size: u64,
}

/// The kinds of indexes that a suite has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Binary packages.
    Packages,
    /// Source packages.
    Sources,
}

impl IndexKind {
    /// The index's path below `dists/SUITE/`.
    #[must_use]
    pub fn path(self, component: &str, architecture: &str) -> String {
        match self {
            Self::Packages => format!("{component}/binary-{architecture}/Packages.xz"),
            Self::Sources => format!("{component}/source/Sources.xz"),
        }
    }
}
