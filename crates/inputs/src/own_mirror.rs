// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mirror of our own: a directory with every pinned file, for a web server that serves plain files. Others download
//! from it when the archive has moved on ([`crate::mirrors::Mirrors::with_second`]).
//!
//! ```text
//! pool/...                         packages and sources, as on a mirror
//! dists/SUITE/InRelease            the release file that the lock was made from
//! dists/SUITE/main/.../X.xz        the indexes that it pins
//! crates/NAME/NAME-VERSION.crate   the crates of Cargo.lock
//! SHA256SUMS                       all of them, for `sha256sum --check`
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::archive;
use crate::cargo::Cargo;
use crate::error::InputsError;
use crate::fetch::download::{Download, FetchStats};
use crate::fetch_error::FetchError;
use crate::inputs::Inputs;
use crate::lock_json::LockFile;
use crate::provide;
use crate::provide_crates::{crate_path, crates_by_path};
use cki_process::files::write_atomically;

/// The name of the list.
const SUMS: &str = "SHA256SUMS";

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MirrorReport {
    /// Files that belong there.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were there, whole and right.
    pub present: usize,
    /// Those that were there and wrong; they were written anew.
    pub mended: Vec<String>,
    /// Release files that the archive no longer has, and that are therefore not there.
    pub missing: Vec<String>,
    /// What was downloaded.
    #[serde(flatten)]
    pub fetch: FetchStats,
}

/// A file that belongs into the directory.
struct Item {
    sha256: String,
    /// Where its bytes may be on this machine.
    sources: Vec<PathBuf>,
    /// How they are had otherwise.
    download: Option<Download>,
}

/// Brings `directory` to have everything: what is there already is verified, what is missing is copied from the store
/// or the downloads, or downloaded. A run that was stopped is gone on with by the next.
///
/// # Errors
/// See [`InputsError`]. What was written before stays.
pub fn fill(
    inputs: &Inputs,
    lock: &LockFile,
    cargo: &Cargo,
    manifests: &[PathBuf],
    directory: &Path,
) -> Result<MirrorReport, InputsError> {
    let _guard = inputs.lock()?;
    let staging = Staging::new(directory).map_err(|e| FetchError::file(directory, e))?;
    let mut report = MirrorReport::default();
    let items = items(inputs, lock, cargo, manifests, &mut report)?;
    report.files = items.len();
    // Before the first file: whoever checks a directory that is not whole is told so.
    let sums: String = items
        .iter()
        .map(|(path, item)| format!("{}  {path}\n", item.sha256))
        .collect();
    let list = directory.join(SUMS);
    write_atomically(&list, sums.as_bytes()).map_err(|e| FetchError::file(&list, e))?;
    let mut absent = BTreeMap::new();
    for (number, (path, item)) in items.iter().enumerate() {
        inputs.cancel.check()?;
        inputs.shown.asked(path, number + 1, items.len());
        let target = directory.join(path);
        match sha256_of(&target) {
            Ok((hash, size)) if hash == item.sha256 => {
                report.present += 1;
                report.bytes += size;
                continue;
            }
            Ok(_) => report.mended.push(path.clone()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(FetchError::file(&target, e).into()),
        }
        match staging.copy_first(&item.sources, &target, &item.sha256)? {
            Some(size) => report.bytes += size,
            None => {
                absent.insert(path, item);
            }
        }
    }
    let downloads: Vec<Download> = absent.values().filter_map(|i| i.download.clone()).collect();
    report.fetch.add(inputs.fetcher.fetch(&downloads)?);
    let crates = absent.values().any(|item| item.download.is_none());
    if crates {
        for manifest in manifests {
            inputs.shown.part("cargo fetch");
            cargo.fetch(manifest)?;
        }
    }
    for (path, item) in absent {
        inputs.cancel.check()?;
        let target = directory.join(path);
        let mut sources = item.sources.clone();
        if item.download.is_none() {
            let file = Path::new(path).file_name().unwrap_or_default();
            sources.extend(cargo.files(&file.to_string_lossy()));
        }
        let size = staging.copy_first(&sources, &target, &item.sha256)?;
        report.bytes += size.ok_or_else(|| FetchError::NoMirror(path.clone()))?;
    }
    Ok(report)
}

/// What belongs into the directory, by path.
fn items(
    inputs: &Inputs,
    lock: &LockFile,
    cargo: &Cargo,
    manifests: &[PathBuf],
    report: &mut MirrorReport,
) -> Result<BTreeMap<String, Item>, InputsError> {
    let mut items = BTreeMap::new();
    let files = lock
        .packages
        .values()
        .map(|p| (&p.path, &p.sha256))
        .chain(lock.sources.values().map(|s| (&s.path, &s.sha256)));
    let pinned = provide::pinned(inputs, lock).into_iter();
    let pinned: BTreeMap<String, _> = pinned
        .map(|(store_path, download)| (download.sha256.clone(), (store_path, download)))
        .collect();
    // Two files may have the same contents, and each is asked for by its path.
    for (path, sha256) in files {
        let Some((store_path, download)) = pinned.get(sha256) else {
            continue;
        };
        let item = Item {
            sha256: sha256.clone(),
            sources: vec![inputs.downloads.by_hash(sha256), store_path.clone()],
            download: Some(download.clone()),
        };
        items.insert(path.clone(), item);
    }
    for (name, suite) in &lock.suites {
        let indexes = suite.indexes.packages.iter().chain(&suite.indexes.sources);
        for pin in suite.release.iter().chain(indexes) {
            let download = archive::download(inputs, name, &suite.component, pin, &suite.date);
            // A release file that is gone cannot be had again, and what it lists is pinned by itself.
            let is_release = Some(pin) == suite.release.as_ref();
            if is_release && !inputs.downloads.has(&pin.sha256, pin.size) {
                match inputs.fetcher.fetch(std::slice::from_ref(&download)) {
                    Ok(stats) => report.fetch.add(stats),
                    Err(error) if error.has_moved_on() => {
                        report.missing.push(format!("dists/{name}/{}", pin.path));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            let item = Item {
                sha256: pin.sha256.clone(),
                sources: vec![inputs.downloads.by_hash(&pin.sha256)],
                download: Some(download),
            };
            items.insert(format!("dists/{name}/{}", pin.path), item);
        }
    }
    for (store_path, of) in crates_by_path(inputs, manifests)? {
        let mut sources = vec![inputs.downloads.by_hash(&of.sha256), store_path];
        sources.extend(cargo.files(&of.file_name()));
        let item = Item {
            sha256: of.sha256.clone(),
            sources,
            download: None,
        };
        items.insert(crate_path(&of), item);
    }
    Ok(items)
}

/// The hash and size of a file.
fn sha256_of(path: &Path) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let size = io::copy(&mut File::open(path)?, &mut hash)?;
    Ok((format!("{:x}", hash.finalize()), size))
}

/// Where files are while they are not whole: a directory of the mirror's that nobody is told of. What a killed run left
/// there goes with the next.
struct Staging(PathBuf);

impl Staging {
    /// The name of the directory.
    const NAME: &str = ".partial";

    fn new(mirror: &Path) -> io::Result<Self> {
        let directory = mirror.join(Self::NAME);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// Copies the first of `sources` that has the hash to `target`, and gives its size; none when none of them has.
    fn copy_first(
        &self,
        sources: &[PathBuf],
        target: &Path,
        sha256: &str,
    ) -> Result<Option<u64>, InputsError> {
        for source in sources {
            let Ok(file) = File::open(source) else {
                continue;
            };
            let copied = copy(file, &self.0, target, sha256);
            let copied = copied.map_err(|e| FetchError::file(target, e))?;
            if copied.is_some() {
                return Ok(copied);
            }
        }
        Ok(None)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Empty but for what the next run removes.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies `source` to `target`, by way of `staging`, if it has the hash; nothing else ever has the target's name.
fn copy(mut source: File, staging: &Path, target: &Path, sha256: &str) -> io::Result<Option<u64>> {
    fs::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
    let mut file = tempfile::NamedTempFile::new_in(staging)?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count])?;
        hash.update(&buffer[..count]);
        size += count as u64;
    }
    if format!("{:x}", hash.finalize()) != sha256 {
        return Ok(None);
    }
    // Temporary files are private, and these are for everybody.
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(Some(size))
}
