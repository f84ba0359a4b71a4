// SPDX-License-Identifier: MIT OR Apache-2.0

//! What [`Nix::show_derivations`](crate::Nix::show_derivations) prints: which outputs a hash fixes, and which not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::NixError;

/// A derivation that is to be built again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rebuild {
    /// The derivation.
    pub drv: PathBuf,
    /// Its outputs.
    pub outputs: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Shown {
    outputs: BTreeMap<String, ShownOutput>,
}

#[derive(Deserialize)]
struct ShownOutput {
    path: Option<PathBuf>,
    hash: Option<String>,
}

fn parse(json: &[u8]) -> Result<BTreeMap<PathBuf, Shown>, NixError> {
    serde_json::from_slice(json).map_err(|error| NixError::Unexpected(error.to_string()))
}

/// Derivations to build again: those without a fixed hash.
///
/// # Errors
/// [`NixError::Unexpected`] when it is no such JSON.
pub fn rebuilds(json: &[u8]) -> Result<Vec<Rebuild>, NixError> {
    Ok(parse(json)?
        .into_iter()
        .filter(|(_, shown)| shown.outputs.values().all(|output| output.hash.is_none()))
        .map(|(drv, shown)| Rebuild {
            drv,
            outputs: shown
                .outputs
                .into_values()
                .filter_map(|output| output.path)
                .collect(),
        })
        .collect())
}

/// Output paths that a hash fixes.
///
/// # Errors
/// [`NixError::Unexpected`] when it is no such JSON.
pub fn fixed_outputs(json: &[u8]) -> Result<BTreeSet<PathBuf>, NixError> {
    Ok(parse(json)?
        .into_values()
        .flat_map(|shown| shown.outputs.into_values())
        .filter(|output| output.hash.is_some())
        .filter_map(|output| output.path)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hash_fixes_is_not_built_again() {
        let json = br#"{
            "/nix/store/a.drv": {"outputs": {"out": {"path": "/nix/store/a"}, "dev": {"path": "/nix/store/a-dev"}}},
            "/nix/store/b.drv": {"outputs": {"out": {"path": "/nix/store/b", "hash": "00", "hashAlgo": "sha256"}}}
        }"#;
        let rebuilds = rebuilds(json).expect("valid");
        assert_eq!(rebuilds.len(), 1);
        assert_eq!(rebuilds[0].drv, PathBuf::from("/nix/store/a.drv"));
        assert_eq!(rebuilds[0].outputs.len(), 2);
        let fixed = fixed_outputs(json).expect("valid");
        assert_eq!(fixed, BTreeSet::from([PathBuf::from("/nix/store/b")]));
    }
}
