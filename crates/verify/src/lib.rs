// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rebuilding and comparing bit for bit.
//!
//! Every derivation of ours that the outputs are built from is built a second time with another number
//! of cores and compared with what is in the store. Inputs that are fixed by their hash need no second
//! build. The flake is also evaluated from a copy of the checkout elsewhere: equal derivations show
//! that nothing depends on the checkout's path, name, owner or history.
//!
//! Used by: `cki-build`. May use: `cki-nix`, `cki-process`.

pub mod diff;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use cki_nix::cache::Cache;
use cki_nix::checkout::{Checkout, CheckoutError};
use cki_nix::derivations::Rebuild;
use cki_nix::{Flake, Nix, NixError, Target};
use cki_process::progress::Progress;
pub use diff::{Difference, first_difference};

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

/// Cores for the second build: another number than the first build's, which took all of `available`.
#[must_use]
pub const fn other_cores(available: u32) -> u32 {
    if available > 1 { 1 } else { 2 }
}

/// Why it could not be seen whether anything depends on where the checkout lies.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The checkout could not be copied.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// The copy could not be evaluated.
    #[error(transparent)]
    Nix(#[from] NixError),
}

/// Names of `targets` whose derivation differs when evaluated from a copy of the checkout at `elsewhere`.
///
/// # Errors
/// [`VerifyError`].
pub fn path_dependent(
    nix: &Nix,
    checkout: &Checkout,
    elsewhere: &Path,
    cache: &Cache,
    targets: &BTreeMap<String, Target>,
    progress: Progress,
) -> Result<Vec<String>, VerifyError> {
    let copy = checkout.copy_to(elsewhere)?;
    let names: Vec<_> = targets.keys().cloned().collect();
    let flake = Flake::of(&copy, cache)?;
    let others = nix.targets(flake.as_str(), &names, progress)?;
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
