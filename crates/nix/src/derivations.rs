// SPDX-License-Identifier: MIT OR Apache-2.0

//! What [`Nix::show_derivations`](crate::Nix::show_derivations) prints: which outputs a hash fixes, and which not.
//!
//! The form depends on Nix's version (its manual, "Derivation JSON format"). Up to 2.31, derivations by their paths;
//! from 2.32 on, paths without the store's directory, and none for an output that a hash fixes; from 2.33 on, all of
//! that under `derivations`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
#[serde(untagged)]
enum Answer {
    Nested {
        derivations: BTreeMap<PathBuf, Shown>,
    },
    Plain(BTreeMap<PathBuf, Shown>),
}

#[derive(Deserialize)]
struct Shown {
    outputs: BTreeMap<String, ShownOutput>,
    /// The builder's variables; each output's path is in that of its name.
    env: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ShownOutput {
    path: Option<PathBuf>,
    hash: Option<String>,
}

/// A derivation in the form that all versions have in common.
struct Derivation {
    drv: PathBuf,
    outputs: Vec<PathBuf>,
    fixed: bool,
}

fn parse(store: &Path, json: &[u8]) -> Result<Vec<Derivation>, NixError> {
    let unexpected = |what: String| NixError::Unexpected(format!("of derivations: {what}"));
    let answer = serde_json::from_slice(json).map_err(|error| unexpected(error.to_string()))?;
    let (Answer::Nested { derivations } | Answer::Plain(derivations)) = answer;
    let derivation = |(drv, shown): (PathBuf, Shown)| {
        let path = |(name, output): (&String, &ShownOutput)| {
            let path = output
                .path
                .clone()
                .or_else(|| shown.env.get(name).map(PathBuf::from));
            // Joining leaves a path as it is that has the directory already.
            path.map(|path| store.join(path))
                .ok_or_else(|| unexpected(format!("{} has no path for {name}", drv.display())))
        };
        Ok(Derivation {
            drv: store.join(&drv),
            outputs: shown.outputs.iter().map(path).collect::<Result<_, _>>()?,
            fixed: shown.outputs.values().any(|output| output.hash.is_some()),
        })
    };
    derivations.into_iter().map(derivation).collect()
}

/// Derivations of the store at `store` to build again: those without a fixed hash.
///
/// # Errors
/// [`NixError::Unexpected`] when it is no such JSON.
pub fn rebuilds(store: &Path, json: &[u8]) -> Result<Vec<Rebuild>, NixError> {
    let all = parse(store, json)?.into_iter();
    Ok(all
        .filter(|derivation| !derivation.fixed)
        .map(|Derivation { drv, outputs, .. }| Rebuild { drv, outputs })
        .collect())
}

/// Output paths in the store at `store` that a hash fixes.
///
/// # Errors
/// [`NixError::Unexpected`] when it is no such JSON.
pub fn fixed_outputs(store: &Path, json: &[u8]) -> Result<BTreeSet<PathBuf>, NixError> {
    let all = parse(store, json)?.into_iter();
    Ok(all
        .filter(|derivation| derivation.fixed)
        .flat_map(|derivation| derivation.outputs)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `nix show-derivation --recursive`, later `nix derivation show --recursive`, prints of a derivation with two
    /// outputs that needs a file and a directory whose hashes are fixed.
    const RECORDED: [&[u8]; 3] = [
        include_bytes!("../tests/recorded/derivations-2.8.json"),
        include_bytes!("../tests/recorded/derivations-2.26.json"),
        include_bytes!("../tests/recorded/derivations-2.34.json"),
    ];

    fn store() -> &'static Path {
        Path::new("/nix/store")
    }

    fn check(json: &[u8]) {
        let path = |name| store().join(name);
        assert_eq!(
            rebuilds(store(), json).expect("valid"),
            [Rebuild {
                drv: path("fraw9mslwhh5rkl1zy4wdzsi00sk1v0j-fixture-b.drv"),
                outputs: vec![
                    path("9lzcvf6aa6dg6nwmgxcmvh949zgz88n1-fixture-b-dev"),
                    path("fknmhcj7ddn9fvb5a7azfy6h70llkpqv-fixture-b"),
                ],
            }]
        );
        assert_eq!(
            fixed_outputs(store(), json).expect("valid"),
            BTreeSet::from([
                path("1y6q176172rrm3ivq2iwk3jzixxwvfw0-fixture-c"),
                path("acqv4rxyvadkdprhnx57h6yybnqmxnca-fixture-a"),
            ])
        );
    }

    #[test]
    fn every_version_of_nix_is_understood() {
        RECORDED.iter().for_each(|json| check(json));
    }

    /// Nix 2.32 is not at hand. Its form, version 3, is that of 2.33 and later without the frame.
    #[test]
    fn paths_without_a_directory_are_those_of_the_store() {
        let nested: serde_json::Value = serde_json::from_slice(RECORDED[2]).expect("JSON");
        check(nested["derivations"].to_string().as_bytes());
    }

    #[test]
    fn what_has_no_path_is_an_error_and_never_left_out() {
        let json = br#"{"a.drv": {"env": {}, "outputs": {"out": {"hash": "sha256-47DEQ"}}}}"#;
        for error in [
            fixed_outputs(store(), json).map(drop),
            rebuilds(store(), json).map(drop),
            rebuilds(store(), br#"{"version": 5, "drvs": {}}"#).map(drop),
        ] {
            assert!(matches!(error, Err(NixError::Unexpected(_))), "{error:?}");
        }
    }
}
