// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rebuilding and comparing bit for bit.
//!
//! Every derivation of ours that the outputs are built from is built a second time with another number
//! of cores and compared with what is in the store. Inputs that are fixed by their hash need no second
//! build. The flake is also evaluated from a copy of the checkout elsewhere: equal derivations show
//! that nothing depends on the checkout's path, name, owner or history.

pub mod diff;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use cki_nix::checkout::Checkout;
use cki_nix::{Nix, NixError, Target};
use cki_process::progress::Progress;
pub use diff::{Difference, first_difference};

/// A derivation that is to be built again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rebuild {
    /// The derivation.
    pub drv: PathBuf,
    /// Its outputs.
    pub outputs: Vec<PathBuf>,
}

/// What a second build of a derivation gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The derivation.
    pub drv: PathBuf,
    /// Whether all bits are equal.
    pub equal: bool,
    /// The output that differs and where; none when equal, or when Nix kept no second build to look into.
    pub first_difference: Option<(PathBuf, Difference)>,
}

/// Result of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Outputs of the flake that were verified, with their paths.
    pub outputs: BTreeMap<String, PathBuf>,
    /// Cores of the second build.
    pub cores: u32,
    /// Outputs whose derivation is another one when the checkout lies elsewhere.
    pub path_dependent: Vec<String>,
    /// One for each derivation.
    pub derivations: Vec<Verdict>,
}

impl Report {
    /// Whether everything is equal.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.path_dependent.is_empty() && self.derivations.iter().all(|verdict| verdict.equal)
    }
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

/// Derivations to build again, from what [`Nix::show_derivations`] gave: those without a fixed hash.
///
/// # Errors
/// [`NixError::Unexpected`] when it is no such JSON.
pub fn rebuilds(json: &[u8]) -> Result<Vec<Rebuild>, NixError> {
    let shown: BTreeMap<PathBuf, Shown> =
        serde_json::from_slice(json).map_err(|error| NixError::Unexpected(error.to_string()))?;
    Ok(shown
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

/// Output paths that a hash fixes, from what [`Nix::show_derivations`] gave.
///
/// # Errors
/// [`NixError::Unexpected`] when it is no such JSON.
pub fn fixed_outputs(json: &[u8]) -> Result<BTreeSet<PathBuf>, NixError> {
    let shown: BTreeMap<PathBuf, Shown> =
        serde_json::from_slice(json).map_err(|error| NixError::Unexpected(error.to_string()))?;
    Ok(shown
        .into_values()
        .flat_map(|shown| shown.outputs.into_values())
        .filter(|output| output.hash.is_some())
        .filter_map(|output| output.path)
        .collect())
}

/// Cores for the second build: another number than the first build's, which took all of `available`.
#[must_use]
pub const fn other_cores(available: u32) -> u32 {
    if available > 1 { 1 } else { 2 }
}

/// Names of `targets` whose derivation differs when evaluated from a copy of the checkout at `elsewhere`.
///
/// # Errors
/// Those of copying and evaluating.
pub fn path_dependent(
    nix: &Nix,
    checkout: &Checkout,
    elsewhere: &Path,
    targets: &BTreeMap<String, Target>,
    progress: Progress,
) -> Result<Vec<String>, crate::commands::Error> {
    let copy = checkout.copy_to(elsewhere)?;
    let names: Vec<_> = targets.keys().cloned().collect();
    let others = nix.targets(&copy.flake_ref(), &names, progress)?;
    Ok(targets
        .iter()
        .filter(|(name, target)| others.get(*name) != Some(target))
        .map(|(name, _)| name.clone())
        .collect())
}

/// Builds `rebuild` again and compares.
///
/// # Errors
/// [`NixError`] when it cannot be built again; that it differs is no error.
pub fn check(
    nix: &Nix,
    rebuild: &Rebuild,
    cores: u32,
    on_event: &dyn Fn(&cki_nix::log::Event),
) -> Result<Verdict, NixError> {
    let equal = match nix.capture(&nix.check(&rebuild.drv, cores), on_event) {
        Ok(_) => true,
        Err(NixError::NotDeterministic { message }) => {
            tracing::info!("{message}");
            false
        }
        Err(error) => return Err(error),
    };
    Ok(Verdict {
        drv: rebuild.drv.clone(),
        equal,
        first_difference: if equal {
            None
        } else {
            locate(&rebuild.outputs)?
        },
    })
}

/// The first of `outputs` with a second build beside it (`PATH.check`) that differs, and where.
fn locate(outputs: &[PathBuf]) -> Result<Option<(PathBuf, Difference)>, NixError> {
    for output in outputs {
        let mut second = output.clone().into_os_string();
        second.push(".check");
        let second = PathBuf::from(second);
        if second.symlink_metadata().is_err() {
            continue;
        }
        let found = first_difference(output, &second).map_err(|source| NixError::Io {
            path: output.clone(),
            source,
        })?;
        if let Some(difference) = found {
            return Ok(Some((output.clone(), difference)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diff::What;

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

    #[test]
    fn the_second_build_uses_another_number_of_cores() {
        for available in 1..9 {
            assert_ne!(other_cores(available), available);
        }
    }

    #[test]
    fn the_kept_second_build_is_searched_for_the_difference() {
        let dir = tempfile::tempdir().expect("a directory");
        let output = dir.path().join("out");
        std::fs::write(&output, "abc").expect("written");
        assert_eq!(
            locate(std::slice::from_ref(&output)).expect("readable"),
            None
        );
        std::fs::write(dir.path().join("out.check"), "abX").expect("written");
        let (path, difference) = locate(std::slice::from_ref(&output))
            .expect("readable")
            .expect("different");
        assert_eq!(path, output);
        assert_eq!(difference.what, What::Content { offset: 2 });
    }

    #[test]
    fn one_difference_spoils_the_report() {
        let verdict = |equal| Verdict {
            drv: "/x.drv".into(),
            equal,
            first_difference: None,
        };
        let report = |equal, path_dependent: &[&str]| Report {
            outputs: BTreeMap::new(),
            cores: 1,
            path_dependent: path_dependent.iter().map(|&s| s.to_owned()).collect(),
            derivations: vec![verdict(true), verdict(equal)],
        };
        assert!(report(true, &[]).equal());
        assert!(!report(false, &[]).equal());
        assert!(!report(true, &["cki-host"]).equal());
    }
}
