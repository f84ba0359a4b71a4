// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a lock file follows from what the archive has signed: each entry is in an index, the index is in a release
//! file, and that has a good signature.

use serde::Serialize;

use crate::archive;
use crate::error::InputsError;
use crate::inputs::Inputs;
use crate::lock_json::{LockFile, LockedSource, LockedSuite, SourceKind};
use crate::pin::IndexPin;
use crate::seed;
use cki_debian::index::PackageIndex;
use cki_debian::release::Release;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SignedReport {
    /// Packages and sources that are pinned.
    pub entries: usize,
    /// Those that a signed index has as they are pinned.
    pub signed: usize,
    /// What does not follow; one sentence each.
    pub problems: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The indexes of a suite that a good signature stands for.
struct Signed {
    packages: Option<PackageIndex>,
    sources: Option<IndexPin>,
}

/// Version, path, SHA-256 and size.
type Entry<'a> = (&'a str, &'a str, &'a str, u64);

/// Looks up every entry in the signed indexes of its suite: the pinned ones, or, when the archive no longer has those,
/// its current ones. What is missing among the downloads is downloaded. The dependencies that the lock names are not
/// resolved anew.
///
/// # Errors
/// Those of downloads that fail in another way than that a file is gone; a bad signature is a problem of the report.
pub fn signed(inputs: &Inputs, lock: &LockFile) -> Result<SignedReport, InputsError> {
    let _guard = inputs.lock()?;
    let mut report = SignedReport {
        entries: lock.packages.len() + lock.sources.len(),
        ..SignedReport::default()
    };
    for (name, suite) in &lock.suites {
        inputs.cancel.check()?;
        inputs
            .shown
            .part(&format!("comparing with the signed indexes of {name}"));
        match indexes(inputs, name, suite, &mut report.notes) {
            Ok(indexes) => compare(inputs, lock, name, &indexes, &mut report)?,
            Err(InputsError::Release(error)) => report.problems.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let found = seed::hash(inputs, lock)?;
    if found != lock.seed.sha256 {
        report.problems.push(format!(
            "the seed is not what its package {} has: {found} instead of {}",
            lock.seed.package, lock.seed.sha256
        ));
    }
    Ok(report)
}

/// Looks up the entries of one suite.
fn compare(
    inputs: &Inputs,
    lock: &LockFile,
    suite: &str,
    indexes: &Signed,
    report: &mut SignedReport,
) -> Result<(), InputsError> {
    let in_packages = |package: &str, entry: Entry<'_>| {
        let index = indexes.packages.as_ref();
        index.is_some_and(|index| {
            index.versions(package).any(|p| {
                entry
                    == (
                        p.version.as_str(),
                        p.path.as_str(),
                        p.sha256.as_str(),
                        p.size,
                    )
            })
        })
    };
    let mut judge = |what: String, is_signed: bool| {
        if is_signed {
            report.signed += 1;
        } else {
            let problem = format!("{what} is not what a signed index of {suite} has");
            report.problems.push(problem);
        }
    };
    for (package, p) in lock.packages.iter().filter(|(_, p)| p.suite == *suite) {
        let entry = (p.version.as_str(), &*p.path, &*p.sha256, p.size);
        let is_signed = in_packages(package, entry);
        judge(format!("package {package} {}", p.version), is_signed);
    }
    for (source, s) in lock.sources.iter().filter(|(_, s)| s.suite == *suite) {
        let entry = (s.version.as_str(), &*s.path, &*s.sha256, s.size);
        let is_signed = match (s.kind, &indexes.sources) {
            (SourceKind::Package, _) => in_packages(&s.name, entry),
            (SourceKind::Source, Some(pin)) => in_sources(inputs, suite, pin, s)?,
            (SourceKind::Source, None) => false,
        };
        judge(format!("source {source} {}", s.version), is_signed);
    }
    Ok(())
}

fn in_sources(
    inputs: &Inputs,
    suite: &str,
    pin: &IndexPin,
    source: &LockedSource,
) -> Result<bool, InputsError> {
    let versions = archive::read_source(inputs, suite, pin, &source.name)?;
    let mut of_version = versions.iter().filter(|p| p.version == source.version);
    Ok(of_version.any(|p| {
        p.files.iter().any(|(file, sha256, size)| {
            let path = format!("{}/{file}", p.directory);
            (&path, sha256, *size) == (&source.path, &source.sha256, source.size)
        })
    }))
}

fn indexes(
    inputs: &Inputs,
    name: &str,
    suite: &LockedSuite,
    notes: &mut Vec<String>,
) -> Result<Signed, InputsError> {
    if let Some(pin) = &suite.release {
        let pinned = archive::pinned_release(inputs, name, suite, pin)
            .and_then(|release| read(inputs, name, suite, &release));
        match pinned {
            Err(InputsError::Fetch(error)) if error.has_moved_on() => {}
            other => return other,
        }
    }
    let (release, _) = archive::current_release(inputs, name, &suite.component, Some(&suite.date))?;
    if release.date != suite.date {
        notes.push(format!(
            "the archive no longer has {name} as of {}; it was compared with that of {}",
            suite.date, release.date
        ));
    }
    read(inputs, name, suite, &release)
}

/// The indexes that `release` lists, of the kinds that are pinned.
fn read(
    inputs: &Inputs,
    name: &str,
    suite: &LockedSuite,
    release: &Release,
) -> Result<Signed, InputsError> {
    let get = |pinned: &Option<IndexPin>| -> Result<Option<IndexPin>, InputsError> {
        let Some(pinned) = pinned else {
            return Ok(None);
        };
        let pin = archive::pin(release, name, &pinned.path)?;
        archive::fetch_index(inputs, name, &suite.component, &pin, &release.date)?;
        Ok(Some(pin))
    };
    let packages = get(&suite.indexes.packages)?;
    Ok(Signed {
        packages: packages
            .map(|pin| archive::read_packages(inputs, name, suite.automatic, &pin))
            .transpose()?,
        sources: get(&suite.indexes.sources)?,
    })
}
