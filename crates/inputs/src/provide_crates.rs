// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crates that Cargo.lock names, as files in the Nix store, so that the hermetic build needs no registry.
//!
//! cargo itself downloads them, from whatever registry it is configured for; we take them from its cache, check them
//! against Cargo.lock and add each under its fixed-output path `crate-NAME-VERSION.tar.gz`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cargo::{Cargo, Crate, read_cargo_lock};
use crate::error::InputsError;
use crate::fetch_error::FetchError;
use crate::import::{ProvideReport, import};
use crate::inputs::Inputs;
use cki_nix::path::Mode;
use cki_nix::store::Addition;
use cki_process::files::write_atomically;

/// More than this is not read of a crate; registries take none nearly as large.
const CRATE_LIMIT: u64 = 64 << 20;

/// The path of a crate's file below a mirror of our own.
#[must_use]
pub fn crate_path(of: &Crate) -> String {
    format!("crates/{}/{}", of.name, of.file_name())
}

/// The crates that are locked beside `manifests` (each a Cargo.toml), by the store path of each. What several lock is
/// one.
///
/// # Errors
/// [`InputsError::Cargo`].
pub fn crates_by_path(
    inputs: &Inputs,
    manifests: &[PathBuf],
) -> Result<BTreeMap<PathBuf, Crate>, InputsError> {
    let mut by_path = BTreeMap::new();
    for manifest in manifests {
        by_path.extend(locked_beside(inputs, manifest)?);
    }
    Ok(by_path)
}

fn locked_beside(
    inputs: &Inputs,
    manifest: &Path,
) -> Result<BTreeMap<PathBuf, Crate>, InputsError> {
    let crates = read_cargo_lock(&manifest.with_file_name("Cargo.lock"))?.into_iter();
    let path = |c: &Crate| {
        let name = c.store_name();
        inputs.nix.fixed_output(&name, Mode::Flat, &c.sha256)
    };
    Ok(crates.map(|c| (path(&c), c)).collect())
}

/// Puts all crates that are locked beside `manifests` into the store.
///
/// What is neither in the store nor in cargo's cache is taken from the second mirror, if there is one; only for
/// what it lacks cargo is run.
///
/// # Errors
/// [`InputsError::Cargo`] or [`InputsError::Store`].
pub fn provide_crates(
    inputs: &Inputs,
    cargo: &Cargo,
    manifests: &[PathBuf],
) -> Result<ProvideReport, InputsError> {
    import(
        inputs,
        crates_by_path(inputs, manifests)?,
        |missing, _, _| {
            for wanted in missing.values().filter(|c| !cargo.has(c)) {
                inputs.cancel.check()?;
                from_second(inputs, wanted)?;
            }
            for manifest in manifests {
                let of_it = locked_beside(inputs, manifest)?;
                let absent = |(path, c): (&PathBuf, &Crate)| {
                    missing.contains_key(path) && !cargo.has(c) && downloaded(inputs, c).is_none()
                };
                if of_it.iter().any(absent) {
                    inputs.shown.part("cargo fetch");
                    cargo.fetch(manifest)?;
                }
            }
            let mut additions = Vec::new();
            for (expected, wanted) in missing {
                inputs.cancel.check()?;
                additions.push(Addition {
                    source: match downloaded(inputs, wanted) {
                        Some(path) => path,
                        None => cargo.verified(wanted)?,
                    },
                    mode: Mode::Flat,
                    expected: expected.clone(),
                });
            }
            Ok(additions)
        },
    )
}

/// The crate's file among the downloads.
fn downloaded(inputs: &Inputs, wanted: &Crate) -> Option<PathBuf> {
    let path = inputs.downloads.by_hash(&wanted.sha256);
    path.is_file().then_some(path)
}

/// Brings a crate from the second mirror among the downloads. That it is not there, or another file, is no error: cargo
/// may have it.
fn from_second(inputs: &Inputs, wanted: &Crate) -> Result<(), InputsError> {
    let file = wanted.file_name();
    let Some(url) = inputs.mirrors.in_second(&crate_path(wanted)) else {
        return Ok(());
    };
    if downloaded(inputs, wanted).is_some() {
        return Ok(());
    }
    inputs.shown.part(&format!("downloading {file}"));
    let bytes = match inputs.fetcher.fetch_unpinned(&file, &[url], CRATE_LIMIT) {
        Ok((bytes, _)) => bytes,
        Err(error) if error.is_the_mirrors_fault() => {
            inputs.shown.note(&error.in_short());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if format!("{:x}", Sha256::digest(&bytes)) != wanted.sha256 {
        inputs.shown.note(&format!(
            "{file}: the second mirror has another file of that name"
        ));
        return Ok(());
    }
    let path = inputs.downloads.by_hash(&wanted.sha256);
    write_atomically(&path, &bytes).map_err(|e| FetchError::file(&path, e))?;
    Ok(())
}
