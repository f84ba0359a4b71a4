// SPDX-License-Identifier: MIT OR Apache-2.0

//! The seed: a directory in the store with one program in it, taken out of its package.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::InputsError;
use crate::fetch::download::FetchStats;
use crate::fetch_error::FetchError;
use crate::import::{ProvideReport, import};
use crate::inputs::Inputs;
use crate::lock_json::LockFile;
use cki_debian::deb::extract_program;
use cki_nix::nar::nar_sha256;
use cki_nix::path::Mode;
use cki_nix::store::Addition;

/// Where the seed is in the store.
#[must_use]
pub fn store_path(inputs: &Inputs, lock: &LockFile) -> PathBuf {
    let seed = &lock.seed;
    inputs
        .nix
        .fixed_output(&seed.store, Mode::Recursive, &seed.sha256)
}

/// Puts the seed into the store.
///
/// # Errors
/// See [`InputsError`].
pub fn provide(inputs: &Inputs, lock: &LockFile) -> Result<ProvideReport, InputsError> {
    let seed = &lock.seed;
    let expected = store_path(inputs, lock);
    import(
        inputs,
        BTreeMap::from([(expected.clone(), ())]),
        |_, staging, stats| {
            // The package may be in the store, but it is the downloaded file that is unpacked: the store is Nix's to
            // read.
            let (source, found) = unpack(inputs, lock, staging, stats)?;
            if found != seed.sha256 {
                return Err(InputsError::Seed {
                    package: seed.package.clone(),
                    expected: seed.sha256.clone(),
                    found,
                });
            }
            Ok(vec![Addition {
                source,
                mode: Mode::Recursive,
                expected,
            }])
        },
    )
}

/// The hash of the seed's directory, taken by making it. The caller holds the downloads' lock.
///
/// # Errors
/// See [`InputsError`].
pub fn hash(inputs: &Inputs, lock: &LockFile) -> Result<String, InputsError> {
    let staging = inputs.downloads.staging()?;
    let (_, hash) = unpack(inputs, lock, staging.path(), &mut FetchStats::default())?;
    Ok(hash)
}

/// Makes the seed's directory below `staging` from its package, and gives it with its hash.
fn unpack(
    inputs: &Inputs,
    lock: &LockFile,
    staging: &Path,
    stats: &mut FetchStats,
) -> Result<(PathBuf, String), InputsError> {
    let seed = &lock.seed;
    let package = &lock.packages[&seed.package];
    let download = inputs.mirrors.download(
        lock.suite(&package.suite),
        &seed.package,
        &package.path,
        &package.sha256,
        package.size,
    );
    stats.add(inputs.fetcher.fetch(&[download])?);
    inputs.shown.part("unpacking the seed");
    let directory = staging.join(&seed.store);
    fs::create_dir(&directory).map_err(|e| FetchError::file(&directory, e))?;
    let program = seed.file.rsplit('/').next().unwrap_or(&seed.file);
    extract_program(
        &inputs.downloads.by_hash(&package.sha256),
        &seed.file,
        &directory.join(program),
    )?;
    let hash = nar_sha256(&directory).map_err(|e| FetchError::file(&directory, e))?;
    Ok((directory, hash))
}
