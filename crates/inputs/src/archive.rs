// SPDX-License-Identifier: MIT OR Apache-2.0

//! The indexes of Debian suites, from the cache or a mirror.

use std::fs::File;
use std::io::{BufReader, Write};
use std::time::SystemTime;

use crate::error::InputsError;
use crate::fetch::download::{Download, FetchStats};
use crate::fetch::error::FetchError;
use crate::inputs::Inputs;
use crate::pin::IndexPin;
use cki_debian::index::{self, PackageIndex, SourcePackage};
use cki_debian::release::{Release, parse_date, snapshot_stamp};
use liblzma::read::XzDecoder;

/// No InRelease file is nearly as large; more than this is not read.
const RELEASE_LIMIT: u64 = 16 * 1024 * 1024;

/// Downloads a suite's current InRelease and checks its signature.
///
/// `pinned` is the date of the suite's release as the lock file has it: nothing older is taken, so that nobody leads back to
/// versions whose faults are known by now. What has expired by its own account is taken only if it was asked for, with a note.
///
/// # Errors
/// [`InputsError::Fetch`], [`InputsError::Release`], [`InputsError::Expired`] or [`InputsError::GoesBack`].
pub fn current_release(
    inputs: &Inputs,
    suite: &str,
    component: &str,
    pinned: Option<&str>,
) -> Result<Release, InputsError> {
    let label = format!("{suite} InRelease");
    inputs
        .shown
        .part(&format!("checking the signature of {label}"));
    let bases = inputs.mirrors.bases(suite, component)?;
    let urls: Vec<String> = bases
        .iter()
        .map(|base| format!("{base}/dists/{suite}/InRelease"))
        .collect();
    let bytes = inputs
        .fetcher
        .fetch_unpinned(&label, &urls, RELEASE_LIMIT)?;
    let directory = inputs.downloads.staging()?;
    let path = directory.path().join("InRelease");
    File::create(&path)
        .and_then(|mut f| f.write_all(&bytes))
        .map_err(|e| FetchError::file(&path, e))?;
    let release = inputs.verifier.open(&path, suite, &label)?;
    if let Some(pinned) = pinned.filter(|pinned| parse_date(&release.date) < parse_date(pinned)) {
        return Err(InputsError::GoesBack {
            label,
            pinned: pinned.into(),
            found: release.date,
        });
    }
    if release.has_expired(SystemTime::now()) {
        let end = release.valid_until.as_deref().unwrap_or_default();
        if !inputs.accept_expired {
            let end = end.into();
            return Err(InputsError::Expired { label, end });
        }
        inputs.shown.note(&format!(
            "{label} has expired ({end}): the mirror is no longer updated"
        ));
    }
    Ok(release)
}

/// The pin of an index that a release lists.
///
/// # Errors
/// [`InputsError::NoIndex`].
pub fn pin(release: &Release, suite: &str, path: &str) -> Result<IndexPin, InputsError> {
    let file = release.files.get(path);
    let file = file.ok_or_else(|| InputsError::NoIndex {
        suite: suite.into(),
        path: path.into(),
    })?;
    Ok(IndexPin {
        path: path.into(),
        sha256: file.sha256.clone(),
        size: file.size,
    })
}

/// Brings a pinned index into the cache. Archives keep indexes for some time under their hash, also when a newer one has
/// taken their name.
///
/// # Errors
/// [`InputsError::Fetch`]; [`FetchError::Gone`] if the mirrors no longer have that version.
pub fn fetch_index(
    inputs: &Inputs,
    suite: &str,
    component: &str,
    pin: &IndexPin,
    date: &str,
) -> Result<FetchStats, InputsError> {
    if inputs.downloads.has(&pin.sha256, pin.size) {
        return Ok(FetchStats {
            cached_files: 1,
            ..FetchStats::default()
        });
    }
    let (directory, file) = pin.path.rsplit_once('/').unwrap_or(("", &pin.path));
    let mut urls = Vec::new();
    for base in inputs.mirrors.bases(suite, component)? {
        urls.push(format!(
            "{base}/dists/{suite}/{directory}/by-hash/SHA256/{}",
            pin.sha256
        ));
        // Snapshots and simple mirrors may have no by-hash directories.
        urls.push(format!("{base}/dists/{suite}/{}", pin.path));
    }
    let download = Download {
        name: format!("{suite} {file}"),
        urls,
        sha256: pin.sha256.clone(),
        size: pin.size,
        snapshot: snapshot_stamp(date),
    };
    Ok(inputs.fetcher.fetch(&[download])?)
}

fn reader(inputs: &Inputs, pin: &IndexPin) -> Result<BufReader<XzDecoder<File>>, InputsError> {
    let path = inputs.downloads.by_hash(&pin.sha256);
    let file = File::open(&path).map_err(|e| FetchError::file(&path, e))?;
    Ok(BufReader::with_capacity(
        256 * 1024,
        XzDecoder::new_multi_decoder(file),
    ))
}

/// Reads a `Packages.xz` from the cache.
///
/// # Errors
/// [`InputsError::Index`] or [`InputsError::Fetch`].
pub fn read_packages(
    inputs: &Inputs,
    suite: &str,
    automatic: bool,
    pin: &IndexPin,
) -> Result<PackageIndex, InputsError> {
    PackageIndex::read(suite, automatic, reader(inputs, pin)?).map_err(|cause| InputsError::Index {
        name: format!("{suite} {}", pin.path),
        cause,
    })
}

/// Reads the entries of one source package from a `Sources.xz` in the cache, newest first.
///
/// # Errors
/// [`InputsError::Index`] or [`InputsError::Fetch`].
pub fn read_source(
    inputs: &Inputs,
    suite: &str,
    pin: &IndexPin,
    package: &str,
) -> Result<Vec<SourcePackage>, InputsError> {
    index::read_sources(package, reader(inputs, pin)?).map_err(|cause| InputsError::Index {
        name: format!("{suite} {}", pin.path),
        cause,
    })
}
