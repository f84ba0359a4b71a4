// SPDX-License-Identifier: MIT OR Apache-2.0

//! Getting files into the Nix store: which are missing there, and adding those once somebody has brought them.
//!
//! Nix computes the hash of everything that is added once more, so a file that was damaged among the downloads cannot
//! get into the store under a right name; it is removed from the downloads instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::InputsError;
use crate::fetch::download::FetchStats;
use crate::fetch_error::FetchError;
use crate::inputs::Inputs;
use cki_nix::store::{Addition, StoreError};

/// Files that are handed to Nix at a time; between batches an interruption is noticed.
const BATCH: usize = 64;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ProvideReport {
    /// Files that are asked for.
    pub files: usize,
    /// Those that were in the store already.
    pub in_store: usize,
    /// Those that were added.
    pub added: usize,
    /// What was downloaded for that.
    #[serde(flatten)]
    pub fetch: FetchStats,
}

impl ProvideReport {
    /// Sums up two reports.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.in_store += other.in_store;
        self.added += other.added;
        self.fetch.add(other.fetch);
    }
}

/// Puts `wanted`, files by the store path that each is to get, into the store.
///
/// When some are missing, `bring` is called with them, a directory that lasts until they are added, and the numbers
/// that its downloads count in; nobody else downloads or imports meanwhile.
pub(crate) fn import<T>(
    inputs: &Inputs,
    mut wanted: BTreeMap<PathBuf, T>,
    bring: impl FnOnce(
        &BTreeMap<PathBuf, T>,
        &Path,
        &mut FetchStats,
    ) -> Result<Vec<Addition>, InputsError>,
) -> Result<ProvideReport, InputsError> {
    let mut report = ProvideReport {
        files: wanted.len(),
        in_store: wanted.len(),
        ..ProvideReport::default()
    };
    let missing =
        |wanted: &BTreeMap<PathBuf, T>| inputs.nix.missing(wanted.keys().map(PathBuf::as_path));
    if missing(&wanted)?.is_empty() {
        return Ok(report);
    }
    let _guard = inputs.lock()?;
    // Once more: another process may have added them while this one waited.
    let missing = missing(&wanted)?;
    wanted.retain(|path, _| missing.contains(path));
    report.in_store -= wanted.len();
    if wanted.is_empty() {
        return Ok(report);
    }
    let directory = inputs.downloads.staging()?;
    let additions = bring(&wanted, directory.path(), &mut report.fetch)?;
    add(inputs, &additions)?;
    report.added = additions.len();
    Ok(report)
}

/// Adds files to the store, in batches.
fn add(inputs: &Inputs, additions: &[Addition]) -> Result<(), InputsError> {
    for (number, batch) in additions.chunks(BATCH).enumerate() {
        inputs.cancel.check()?;
        inputs.shown.part(&format!(
            "adding files to the Nix store ({} of {} done)",
            number * BATCH,
            additions.len()
        ));
        let staging = inputs.downloads.staging()?;
        inputs.nix.add(batch, staging.path()).map_err(|error| {
            let damaged = match &error {
                StoreError::WrongPath { source_file, .. } => source_file.clone(),
                _ => return error.into(),
            };
            // Files of others, such as cargo's, are theirs to remove.
            if !inputs.downloads.is_ours(&damaged) {
                return error.into();
            }
            match fs::remove_file(&damaged) {
                Ok(()) => InputsError::Damaged(damaged),
                Err(cause) => FetchError::file(&damaged, cause).into(),
            }
        })?;
    }
    Ok(())
}
