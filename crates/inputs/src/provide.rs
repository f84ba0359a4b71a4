// SPDX-License-Identifier: MIT OR Apache-2.0

//! Making sure that files are in the Nix store: what is missing there is taken from the cache, and what is missing in the
//! cache is downloaded.
//!
//! Nix computes the hash of everything that is added once more, so a file that was damaged in the cache cannot get into the
//! store under a right name; it is removed from the cache instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::app::AppPlan;
use super::fetch::{Download, FetchError, FetchStats};
use super::lockfile::LockFile;
use super::{Context, InputsError};
use cki_debian::deb::extract_program;
use cki_debian::release::snapshot_stamp;
use cki_nix::nar::nar_sha256;
use cki_nix::path::Mode;
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

/// A file that is to be in the store.
struct Wanted {
    download: Download,
    store_name: String,
}

/// Where a file of a suite's archive is on each mirror.
///
/// # Errors
/// [`FetchError::NoMirror`].
pub(super) fn urls(
    context: &Context,
    suite: &str,
    component: &str,
    path: &str,
) -> Result<Vec<String>, FetchError> {
    let bases = context.mirrors.bases(suite, component)?;
    Ok(bases
        .into_iter()
        .map(|base| format!("{base}/{path}"))
        .collect())
}

/// Puts everything that the lock file pins into the store: packages, sources and the seed.
///
/// # Errors
/// See [`InputsError`]. Files that were downloaded or added before the error stay.
pub fn provide_lock(context: &Context, lock: &LockFile) -> Result<ProvideReport, InputsError> {
    let packages = lock
        .packages
        .iter()
        .map(|(name, p)| (name, &p.suite, &p.path, &p.sha256, p.size, &p.store));
    let sources = lock
        .sources
        .values()
        .map(|s| (&s.name, &s.suite, &s.path, &s.sha256, s.size, &s.store));
    let mut wanted = Vec::new();
    for (name, suite, path, sha256, size, store) in packages.chain(sources) {
        // LockFile::parse has checked that the suite is there.
        let pinned = &lock.suites[suite];
        let download = Download {
            name: name.clone(),
            // Without a mirror, files in the store and in the cache still will do; see `fetch_missing`.
            urls: urls(context, suite, &pinned.component, path).unwrap_or_default(),
            sha256: sha256.clone(),
            size,
            snapshot: snapshot_stamp(&pinned.date),
        };
        wanted.push(Wanted {
            download,
            store_name: store.clone(),
        });
    }
    let mut report = provide(context, &wanted)?;
    report.add(provide_seed(context, lock, &wanted)?);
    Ok(report)
}

/// Puts the packages of an application into the store; they are then at [`AppPlan::store_paths`].
///
/// # Errors
/// See [`provide_lock`].
pub fn provide_app(context: &Context, plan: &AppPlan) -> Result<ProvideReport, InputsError> {
    let wanted: Vec<Wanted> = plan
        .packages
        .iter()
        .map(|p| {
            let download = Download {
                name: p.package.clone(),
                urls: urls(context, &p.suite, &plan.component, &p.path).unwrap_or_default(),
                sha256: p.sha256.clone(),
                size: p.size,
                snapshot: snapshot_stamp(&plan.date),
            };
            Wanted {
                download,
                store_name: p.store.clone(),
            }
        })
        .collect();
    provide(context, &wanted)
}

fn provide(context: &Context, wanted: &[Wanted]) -> Result<ProvideReport, InputsError> {
    let path_of = |w: &Wanted| {
        context
            .nix
            .fixed_output(&w.store_name, Mode::Flat, &w.download.sha256)
    };
    let mut by_path: BTreeMap<PathBuf, &Wanted> = wanted.iter().map(|w| (path_of(w), w)).collect();
    let mut report = ProvideReport {
        files: by_path.len(),
        in_store: by_path.len(),
        ..ProvideReport::default()
    };
    if context
        .nix
        .missing(by_path.keys().map(PathBuf::as_path))?
        .is_empty()
    {
        return Ok(report);
    }
    let _guard = context
        .cache
        .lock(context.progress.as_ref(), &context.cancel)?;
    // Once more: another process may have added them while this one waited.
    let missing = context.nix.missing(by_path.keys().map(PathBuf::as_path))?;
    by_path.retain(|path, _| missing.contains(path));
    report.in_store -= by_path.len();
    let downloads: Vec<Download> = by_path.values().map(|w| w.download.clone()).collect();
    report.fetch = context.fetcher.fetch(&downloads)?;
    let files = by_path.into_iter().map(|(expected, w)| StoreFile {
        source: context.cache.by_hash(&w.download.sha256),
        name: w.store_name.clone(),
        expected,
        ours: true,
    });
    report.added = add_to_store(context, &files.collect::<Vec<_>>())?;
    Ok(report)
}

/// A verified file that is to be added to the store.
pub(super) struct StoreFile {
    pub source: PathBuf,
    pub name: String,
    pub expected: PathBuf,
    /// Whether it may be removed if it turns out to be damaged.
    pub ours: bool,
}

/// Adds files to the store, in batches. The caller holds the cache's lock. Returns their number.
pub(super) fn add_to_store(context: &Context, files: &[StoreFile]) -> Result<usize, InputsError> {
    let mut done = 0;
    for batch in files.chunks(BATCH) {
        context.cancel.check()?;
        context.progress.step(&format!(
            "adding files to the Nix store ({done} of {} done)",
            files.len()
        ));
        // Nix takes the store name from the file's, so each file is linked under that name; a directory for each keeps
        // files of the same name apart.
        let staging = context.cache.staging()?;
        let mut additions = Vec::new();
        for (i, file) in batch.iter().enumerate() {
            let directory = staging.path().join(i.to_string());
            let link = directory.join(&file.name);
            fs::create_dir(&directory)
                .and_then(|()| link_or_copy(&file.source, &link))
                .map_err(|e| FetchError::file(&link, e))?;
            additions.push(Addition {
                source: link,
                mode: Mode::Flat,
                expected: file.expected.clone(),
            });
        }
        if let Err(error) = context.nix.add(&additions) {
            return Err(match damaged(&error, &additions, batch) {
                Some(file) if file.ours => {
                    fs::remove_file(&file.source).map_err(|e| FetchError::file(&file.source, e))?;
                    InputsError::Damaged(file.source.clone())
                }
                _ => error.into(),
            });
        }
        done += batch.len();
    }
    Ok(done)
}

fn damaged<'a>(
    error: &StoreError,
    additions: &[Addition],
    batch: &'a [StoreFile],
) -> Option<&'a StoreFile> {
    let StoreError::WrongPath { source_file, .. } = error else {
        return None;
    };
    let at = additions.iter().position(|a| a.source == *source_file)?;
    batch.get(at)
}

/// Hard links cost nothing, but other file systems and protected files need a copy.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

fn provide_seed(
    context: &Context,
    lock: &LockFile,
    wanted: &[Wanted],
) -> Result<ProvideReport, InputsError> {
    let seed = &lock.seed;
    let expected = context
        .nix
        .fixed_output(&seed.store, Mode::Recursive, &seed.sha256);
    let mut report = ProvideReport {
        files: 1,
        in_store: 1,
        ..ProvideReport::default()
    };
    let is_there = || Ok::<_, StoreError>(context.nix.missing([expected.as_path()])?.is_empty());
    if is_there()? {
        return Ok(report);
    }
    let _guard = context
        .cache
        .lock(context.progress.as_ref(), &context.cancel)?;
    if is_there()? {
        return Ok(report);
    }
    // The package is in the store by now, but it is the cache's file that is unpacked: the store is Nix's to read.
    let package = &lock.packages[&seed.package];
    let download = wanted
        .iter()
        .find(|w| w.download.sha256 == package.sha256)
        .map(|w| w.download.clone());
    report.fetch = context.fetcher.fetch(&Vec::from_iter(download))?;
    let staging = context.cache.staging()?;
    let source = unpack_seed(context, lock, staging.path())?;
    let found = nar_sha256(&source).map_err(|e| FetchError::file(&source, e))?;
    if found != seed.sha256 {
        return Err(InputsError::Seed {
            package: seed.package.clone(),
            expected: seed.sha256.clone(),
            found,
        });
    }
    context.progress.step("adding the seed to the Nix store");
    context.nix.add(&[Addition {
        source,
        mode: Mode::Recursive,
        expected,
    }])?;
    (report.in_store, report.added) = (0, 1);
    Ok(report)
}

/// Makes the seed's directory below `staging` from its package, which is in the cache.
pub(super) fn unpack_seed(
    context: &Context,
    lock: &LockFile,
    staging: &Path,
) -> Result<PathBuf, InputsError> {
    let directory = staging.join(&lock.seed.store);
    fs::create_dir(&directory).map_err(|e| FetchError::file(&directory, e))?;
    let package = context
        .cache
        .by_hash(&lock.packages[&lock.seed.package].sha256);
    let program = lock.seed.file.rsplit('/').next().unwrap_or(&lock.seed.file);
    extract_program(&package, &lock.seed.file, &directory.join(program))?;
    Ok(directory)
}

/// The store paths of everything that the lock file pins.
#[must_use]
pub fn store_paths(context: &Context, lock: &LockFile) -> BTreeSet<PathBuf> {
    let packages = lock.packages.values().map(|p| (&p.store, &p.sha256));
    let sources = lock.sources.values().map(|s| (&s.store, &s.sha256));
    let mut paths: BTreeSet<PathBuf> = packages
        .chain(sources)
        .map(|(name, hash)| context.nix.fixed_output(name, Mode::Flat, hash))
        .collect();
    paths.insert(
        context
            .nix
            .fixed_output(&lock.seed.store, Mode::Recursive, &lock.seed.sha256),
    );
    paths
}
