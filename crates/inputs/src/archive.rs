// SPDX-License-Identifier: MIT OR Apache-2.0

//! The indexes of Debian suites, from the cache or a mirror.

use std::fs::File;
use std::io::{BufReader, Write};
use std::time::SystemTime;

use crate::clock;
use crate::error::InputsError;
use crate::fetch::download::{Download, FetchStats};
use crate::fetch_error::FetchError;
use crate::inputs::Inputs;
use crate::lock_json::LockedSuite;
use crate::pin::IndexPin;
use crate::signature::SignatureError;
use cki_debian::index::{self, PackageIndex, SourcePackage};
use cki_debian::release::{Release, ReleaseError, parse_date, snapshot_stamp};
use cki_process::files::write_atomically;
use liblzma::read::XzDecoder;
use sha2::{Digest as _, Sha256};

/// The signed file of a suite, below `dists/SUITE/`.
const RELEASE: &str = "InRelease";

/// No InRelease file is nearly as large; more than this is not read.
const RELEASE_LIMIT: u64 = 16 * 1024 * 1024;

/// Downloads a suite's current InRelease and checks its signature; it is kept among the downloads, so that others can
/// check it later.
///
/// `pinned` is the date of the suite's release as the lock file has it: nothing older is taken, so that nobody leads
/// back to versions whose faults are known by now. What has expired by its own account is taken only if it was asked
/// for, with a note.
///
/// # Errors
/// [`InputsError::Fetch`], [`InputsError::Release`], [`InputsError::Expired`] or [`InputsError::GoesBack`].
pub fn current_release(
    inputs: &Inputs,
    suite: &str,
    component: &str,
    pinned: Option<&str>,
) -> Result<(Release, IndexPin), InputsError> {
    let label = format!("{suite} InRelease");
    inputs
        .shown
        .part(&format!("checking the signature of {label}"));
    let bases = inputs.mirrors.bases(suite, component)?;
    let urls: Vec<String> = bases
        .iter()
        .map(|base| format!("{base}/dists/{suite}/InRelease"))
        .collect();
    let (bytes, server) = inputs
        .fetcher
        .fetch_unpinned(&label, &urls, RELEASE_LIMIT)?;
    let directory = inputs.downloads.staging()?;
    let path = directory.path().join("InRelease");
    File::create(&path)
        .and_then(|mut f| f.write_all(&bytes))
        .map_err(|e| FetchError::file(&path, e))?;
    // Keys and releases are too old or too new by the clock: before the mirror is blamed, that is looked at.
    let now = SystemTime::now();
    let doubt = |error: InputsError| match clock::doubt(now, server, pinned) {
        Some(doubt) => InputsError::Clock {
            doubt,
            error: error.to_string(),
        },
        None => error,
    };
    let release = inputs.verifier.open(&path, suite, &label);
    let release = release.map_err(|error| doubt(error.into()))?;
    if let Some(pinned) = pinned.filter(|pinned| parse_date(&release.date) < parse_date(pinned)) {
        return Err(InputsError::GoesBack {
            label,
            pinned: pinned.into(),
            found: release.date,
        });
    }
    if release.has_expired(now) {
        let end = release.valid_until.as_deref().unwrap_or_default();
        if !inputs.accept_expired {
            let end = end.into();
            return Err(doubt(InputsError::Expired { label, end }));
        }
        inputs.shown.note(&format!(
            "{label} has expired ({end}): the mirror is no longer updated"
        ));
    }
    let pin = IndexPin {
        path: RELEASE.into(),
        sha256: format!("{:x}", Sha256::digest(&bytes)),
        size: bytes.len() as u64,
    };
    let kept = inputs.downloads.by_hash(&pin.sha256);
    write_atomically(&kept, &bytes).map_err(|e| FetchError::file(&kept, e))?;
    Ok((release, pin))
}

/// The InRelease that a suite was pinned from, with a good signature and of the date that is pinned.
///
/// # Errors
/// [`InputsError::Fetch`] when neither the downloads nor a mirror have it any more; [`InputsError::Release`].
pub fn pinned_release(
    inputs: &Inputs,
    name: &str,
    suite: &LockedSuite,
    pin: &IndexPin,
) -> Result<Release, InputsError> {
    let download = download(inputs, name, &suite.component, pin, &suite.date);
    inputs.fetcher.fetch(&[download])?;
    let label = format!("{name} InRelease of {}", suite.date);
    let path = inputs.downloads.by_hash(&pin.sha256);
    let release = inputs.verifier.open(&path, name, &label)?;
    if release.date != suite.date {
        let malformed = ReleaseError::Malformed {
            file: label,
            what: format!("its date, which is {},", release.date),
        };
        return Err(SignatureError::from(malformed).into());
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

/// Brings a pinned index into the cache. Archives keep indexes for some time under their hash, also when a newer one
/// has taken their name.
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
    Ok(inputs
        .fetcher
        .fetch(&[download(inputs, suite, component, pin, date)])?)
}

/// How to download a pinned index or release file.
pub(crate) fn download(
    inputs: &Inputs,
    suite: &str,
    component: &str,
    pin: &IndexPin,
    date: &str,
) -> Download {
    let (directory, file) = pin.path.rsplit_once('/').unwrap_or(("", &pin.path));
    let mut urls = Vec::new();
    let bases = inputs.mirrors.bases(suite, component);
    for base in bases.unwrap_or_default() {
        // Release files are not kept by hash. Snapshots and simple mirrors may have no such directories at all.
        if !directory.is_empty() {
            urls.push(format!(
                "{base}/dists/{suite}/{directory}/by-hash/SHA256/{}",
                pin.sha256
            ));
        }
        urls.push(format!("{base}/dists/{suite}/{}", pin.path));
    }
    urls.extend(
        inputs
            .mirrors
            .in_second(&format!("dists/{suite}/{}", pin.path)),
    );
    Download {
        name: format!("{suite} {file}"),
        urls,
        sha256: pin.sha256.clone(),
        size: pin.size,
        snapshot: snapshot_stamp(date),
    }
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
