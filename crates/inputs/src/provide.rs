// SPDX-License-Identifier: MIT OR Apache-2.0

//! Making sure that files are in the Nix store: what is missing there is taken from the downloads, and what is missing
//! among these is downloaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::error::InputsError;
use crate::fetch::download::Download;
use crate::import::{ProvideReport, import};
use crate::inputs::Inputs;
use crate::lock_json::LockFile;
use crate::plan::AppPlan;
use crate::seed;
use crate::updates;
use cki_nix::path::Mode;
use cki_nix::store::Addition;

/// Puts everything that the lock file pins into the store: packages, sources and the seed.
///
/// # Errors
/// See [`InputsError`]. Files that were downloaded or added before the error stay.
pub fn provide_lock(inputs: &Inputs, lock: &LockFile) -> Result<ProvideReport, InputsError> {
    let mut report = provide(inputs, pinned(inputs, lock))?;
    report.add(seed::provide(inputs, lock)?);
    Ok(report)
}

/// Puts the packages of an application into the store; they are then at [`AppPlan::store_paths`].
///
/// # Errors
/// See [`provide_lock`].
pub fn provide_app(inputs: &Inputs, plan: &AppPlan) -> Result<ProvideReport, InputsError> {
    let downloads = plan.packages.iter().map(|p| {
        inputs
            .mirrors
            .download(plan.suite(p), &p.package, &p.path, &p.sha256, p.size)
    });
    provide(
        inputs,
        plan.store_paths(&inputs.nix)
            .into_iter()
            .zip(downloads)
            .collect(),
    )
    .map_err(|error| updates::explain(inputs, plan, error))
}

/// The store paths of everything that the lock file pins.
#[must_use]
pub fn store_paths(inputs: &Inputs, lock: &LockFile) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<PathBuf> = pinned(inputs, lock).into_keys().collect();
    paths.insert(seed::store_path(inputs, lock));
    paths
}

/// The packages and sources of a lock file, by the store path of each.
pub(crate) fn pinned(inputs: &Inputs, lock: &LockFile) -> BTreeMap<PathBuf, Download> {
    let packages = lock
        .packages
        .iter()
        .map(|(name, p)| (name, &p.suite, &p.path, &p.sha256, p.size, &p.store));
    let sources = lock
        .sources
        .values()
        .map(|s| (&s.name, &s.suite, &s.path, &s.sha256, s.size, &s.store));
    packages
        .chain(sources)
        .map(|(name, suite, path, sha256, size, store)| {
            let suite = lock.suite(suite);
            (
                inputs.nix.fixed_output(store, Mode::Flat, sha256),
                inputs.mirrors.download(suite, name, path, sha256, size),
            )
        })
        .collect()
}

fn provide(
    inputs: &Inputs,
    wanted: BTreeMap<PathBuf, Download>,
) -> Result<ProvideReport, InputsError> {
    import(inputs, wanted, |missing, _, stats| {
        let downloads: Vec<Download> = missing.values().cloned().collect();
        stats.add(inputs.fetcher.fetch(&downloads)?);
        let addition = |(expected, download): (&PathBuf, &Download)| Addition {
            source: inputs.downloads.by_hash(&download.sha256),
            mode: Mode::Flat,
            expected: expected.clone(),
        };
        Ok(missing.iter().map(addition).collect())
    })
}
