// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build lock`: from the request to the lock file.

mod check;
mod reach;
mod signed;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use check::{CheckReport, check};
pub use reach::{ReachReport, reach};
pub use signed::{SignedReport, signed};

use crate::archive;
use crate::error::InputsError;
use crate::fetch_error::FetchError;
use crate::inputs::Inputs;
use crate::lock_json::{
    LockFile, LockedIndexes, LockedPackage, LockedSeed, LockedSource, LockedSuite, SEED_STORE_NAME,
    SourceKind,
};
use crate::pin::{IndexKind, IndexPin};
use crate::request::{Request, SourceRequest, SuiteRequest, constraint};
use crate::seed;
use cki_debian::index::{Package, PackageIndex};
use cki_debian::release::Release;
use cki_debian::resolver::{self, Kept, ResolveError, Want};
use cki_nix::path::{store_name, store_name_of};
use cki_wording::nearest::nearest_names;

/// What happens to packages that are pinned already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They stay; what the request asks for in addition is added, from the pinned indexes if the archive still has
    /// them.
    Keep,
    /// Everything is resolved anew from the archive as it is now.
    Update,
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LockReport {
    /// Whether the lock file differs from before in any way.
    pub changed: bool,
    /// Packages and sources that were not pinned before, `name version`.
    pub added: Vec<String>,
    /// Those that no longer are, `name version`.
    pub removed: Vec<String>,
    /// Those with another version than before, `name old -> new`.
    pub updated: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Number of packages that are pinned now.
    pub packages: usize,
    /// Bytes of all pinned files.
    pub bytes: u64,
}

/// Resolves the request. The caller writes the result with [`LockFile::write`].
///
/// With [`Mode::Keep`] and a lock file that has all that is asked for, nothing is downloaded.
///
/// # Errors
/// See [`InputsError`].
pub fn resolve(
    inputs: &Inputs,
    request: &Request,
    old: Option<&LockFile>,
    mode: Mode,
) -> Result<(LockFile, LockReport), InputsError> {
    match (old, mode) {
        (Some(old), Mode::Keep)
            if check(request, old).consistent
                && old.suites.values().all(|s| s.release.is_some()) =>
        {
            return Ok((old.clone(), report(Some(old), old, Vec::new())));
        }
        _ => {}
    }
    let _guard = inputs.lock()?;
    let kept = old.filter(|_| mode == Mode::Keep);
    let mut warnings = Vec::new();
    let mut suites = BTreeMap::new();
    let mut indexes = Vec::new();
    for suite in &request.suites {
        let locked = kept.and_then(|lock| lock.suites.get(&suite.name));
        let date = old
            .and_then(|lock| lock.suites.get(&suite.name))
            .map(|s| s.date.as_str());
        let locked = fetch_suite(inputs, request, &suite.name, locked, date, &mut warnings)?;
        if let Some(pin) = &locked.indexes.packages {
            inputs
                .shown
                .part(&format!("reading the packages of {}", suite.name));
            indexes.push(archive::read_packages(
                inputs,
                &suite.name,
                suite.automatic,
                pin,
            )?);
        }
        suites.insert(suite.name.clone(), locked);
    }
    inputs.cancel.check()?;

    let pinned = kept.map(|lock| &lock.packages);
    let keep: BTreeMap<String, Kept> = pinned
        .into_iter()
        .flatten()
        .map(|(name, p)| {
            let (version, suite, deps) = (p.version.clone(), p.suite.clone(), p.deps.clone());
            (
                name.clone(),
                Kept {
                    version,
                    suite,
                    deps,
                },
            )
        })
        .collect();
    let resolution = resolver::resolve(&indexes, &request.architecture, &wants(request), &keep)?;
    let packages: BTreeMap<String, LockedPackage> = resolution
        .packages
        .iter()
        .map(|(name, chosen)| {
            let package = match chosen.found {
                Some((suite, package)) => locked_package(suite, package, chosen.deps.clone()),
                None => pinned
                    .map(|p| p[name].clone())
                    .expect("what is kept comes from the old lock file"),
            };
            (name.clone(), package)
        })
        .collect();

    let mut sources = BTreeMap::new();
    for (name, wanted) in &request.sources {
        let old = kept
            .and_then(|lock| lock.sources.get(name))
            .filter(|old| check::source_fits(wanted, old));
        let source = match old {
            Some(old) => old.clone(),
            None => locked_source(inputs, name, wanted, &suites, &indexes)?,
        };
        sources.insert(name.clone(), source);
    }
    let served = |name: &String| resolution.roots[name].clone();
    let base: BTreeSet<String> = request.base.packages.iter().map(served).collect();
    let mut lock = LockFile {
        architecture: request.architecture.clone(),
        base: base.into_iter().collect(),
        packages,
        seed: LockedSeed {
            file: request.seed.file.clone(),
            package: served(&request.seed.package),
            sha256: String::new(),
            store: SEED_STORE_NAME.into(),
        },
        sources,
        suites,
        tools: request
            .tools
            .keys()
            .map(|name| (name.clone(), vec![served(name)]))
            .collect(),
        version: 1,
    };
    lock.seed.sha256 = seed_hash(inputs, &lock, kept)?;
    let report = report(old, &lock, warnings);
    Ok((lock, report))
}

/// All that the request asks for, in the resolver's terms.
fn wants(request: &Request) -> Vec<Want> {
    // A package may be in several tables; the entry in [tools] may have conditions, so it counts.
    let mut wants: BTreeMap<&str, Want> = BTreeMap::new();
    wants.insert(
        &request.seed.package,
        Want::any(&request.seed.package, "[seed]"),
    );
    wants.extend(
        request
            .base
            .packages
            .iter()
            .map(|name| (name.as_str(), Want::any(name, "[base]"))),
    );
    for (name, tool) in &request.tools {
        let constraint = tool.constraint().unwrap_or_default();
        let want = Want {
            constraint,
            suite: tool.suite.clone(),
            ..Want::any(name, "[tools]")
        };
        wants.insert(name, want);
    }
    wants.into_values().collect()
}

fn locked_package(suite: &str, package: &Package, deps: Vec<String>) -> LockedPackage {
    LockedPackage {
        deps,
        path: package.path.clone(),
        sha256: package.sha256.clone(),
        size: package.size,
        store: store_name_of(&package.path),
        suite: suite.into(),
        version: package.version.clone(),
    }
}

/// Brings the indexes of a suite into the cache: those that are pinned, or the archive's current ones.
fn fetch_suite(
    inputs: &Inputs,
    request: &Request,
    name: &str,
    old: Option<&LockedSuite>,
    pinned: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<LockedSuite, InputsError> {
    let suite = request
        .suite(name)
        .expect("called for the request's own suites");
    let pins = |s: &LockedSuite| {
        [
            (IndexKind::Packages, s.indexes.packages.clone()),
            (IndexKind::Sources, s.indexes.sources.clone()),
        ]
    };
    let has_all = |s: &LockedSuite| {
        (&s.component, s.automatic) == (&suite.component, suite.automatic)
            && s.release.is_some()
            && pins(s)
                .iter()
                .all(|(kind, pin)| suite.indexes.contains(kind) == pin.is_some())
    };
    if let Some(old) = old.filter(|old| has_all(old)) {
        match fetch_indexes(inputs, name, old) {
            Ok(()) => return Ok(old.clone()),
            Err(InputsError::Fetch(FetchError::Gone { .. } | FetchError::WrongHash { .. })) => {
                warnings.push(format!(
                    "{name} has changed since {}; new packages come from its current state",
                    old.date
                ));
            }
            Err(error) => return Err(error),
        }
    }
    let (release, signed) = archive::current_release(inputs, name, &suite.component, pinned)?;
    let current = suite_of(&release, signed, suite, &request.architecture)?;
    fetch_indexes(inputs, name, &current)?;
    Ok(current)
}

fn fetch_indexes(inputs: &Inputs, name: &str, suite: &LockedSuite) -> Result<(), InputsError> {
    for pin in suite.indexes.packages.iter().chain(&suite.indexes.sources) {
        archive::fetch_index(inputs, name, &suite.component, pin, &suite.date)?;
    }
    Ok(())
}

/// The entry of a suite for a release file.
fn suite_of(
    release: &Release,
    signed: IndexPin,
    suite: &SuiteRequest,
    architecture: &str,
) -> Result<LockedSuite, InputsError> {
    let pin = |kind: IndexKind| -> Result<Option<IndexPin>, InputsError> {
        let path = kind.path(&suite.component, architecture);
        suite
            .indexes
            .contains(&kind)
            .then(|| archive::pin(release, &suite.name, &path))
            .transpose()
    };
    Ok(LockedSuite {
        automatic: suite.automatic,
        component: suite.component.clone(),
        date: release.date.clone(),
        indexes: LockedIndexes {
            packages: pin(IndexKind::Packages)?,
            sources: pin(IndexKind::Sources)?,
        },
        release: Some(signed),
        version: release.version.clone(),
    })
}

fn locked_source(
    inputs: &Inputs,
    entry: &str,
    wanted: &SourceRequest,
    suites: &BTreeMap<String, LockedSuite>,
    indexes: &[PackageIndex],
) -> Result<LockedSource, InputsError> {
    let suite = &wanted.suite;
    let condition = constraint(&wanted.version).unwrap_or_default();
    let wanted_by = format!("[sources.{entry}]");
    let unknown = |name: &str, nearest| {
        InputsError::Resolve(ResolveError::Unknown {
            name: name.into(),
            wanted_by: wanted_by.clone(),
            nearest,
        })
    };
    let unsatisfiable = |name: &str, found: Vec<&_>| {
        let dependency = format!("{name} ({})", wanted.version);
        InputsError::Resolve(ResolveError::Unsatisfiable {
            dependency,
            wanted_by: wanted_by.clone(),
            found: found
                .into_iter()
                .map(|version| format!("{version} in {suite}"))
                .collect(),
        })
    };
    if let Some(name) = &wanted.package {
        let index = indexes.iter().find(|i| i.suite == *suite);
        let versions: Vec<&Package> = index.into_iter().flat_map(|i| i.versions(name)).collect();
        if versions.is_empty() {
            return Err(unknown(
                name,
                nearest_names(name, index.into_iter().flat_map(PackageIndex::names)),
            ));
        }
        let found = versions
            .iter()
            .find(|p| condition.as_ref().is_none_or(|c| c.accepts(&p.version)));
        let package = found
            .ok_or_else(|| unsatisfiable(name, versions.iter().map(|p| &p.version).collect()))?;
        return Ok(LockedSource {
            kind: SourceKind::Package,
            name: name.clone(),
            path: package.path.clone(),
            sha256: package.sha256.clone(),
            size: package.size,
            store: store_name_of(&package.path),
            suite: suite.clone(),
            version: package.version.clone(),
        });
    }
    let name = wanted.source.as_deref().unwrap_or_default();
    let pin = suites.get(suite).and_then(|s| s.indexes.sources.as_ref());
    let pin = pin.ok_or_else(|| unknown(name, Vec::new()))?;
    let versions = archive::read_source(inputs, suite, pin, name)?;
    if versions.is_empty() {
        return Err(unknown(name, Vec::new()));
    }
    let fits = versions
        .iter()
        .filter(|p| condition.as_ref().is_none_or(|c| c.accepts(&p.version)));
    let found = fits
        .filter_map(|p| p.upstream_tarball().map(|file| (p, file)))
        .next();
    let (package, (file, sha256, size)) =
        found.ok_or_else(|| unsatisfiable(name, versions.iter().map(|p| &p.version).collect()))?;
    Ok(LockedSource {
        kind: SourceKind::Source,
        name: name.into(),
        path: format!("{}/{file}", package.directory),
        sha256: sha256.clone(),
        size: *size,
        store: store_name(file),
        suite: suite.clone(),
        version: package.version.clone(),
    })
}

/// The hash of the seed's directory. It is taken over if package and file are those of the old lock file; otherwise the
/// package is downloaded to look into it.
fn seed_hash(
    inputs: &Inputs,
    lock: &LockFile,
    old: Option<&LockFile>,
) -> Result<String, InputsError> {
    let package = &lock.packages[&lock.seed.package];
    let unchanged = old.filter(|old| {
        (&old.seed.package, &old.seed.file) == (&lock.seed.package, &lock.seed.file)
            && old
                .packages
                .get(&old.seed.package)
                .is_some_and(|p| p.sha256 == package.sha256)
    });
    if let Some(old) = unchanged {
        return Ok(old.seed.sha256.clone());
    }
    seed::hash(inputs, lock)
}

fn report(old: Option<&LockFile>, new: &LockFile, warnings: Vec<String>) -> LockReport {
    let files = |lock: &LockFile| -> BTreeMap<String, (String, u64)> {
        let packages = lock
            .packages
            .iter()
            .map(|(name, p)| (name.clone(), (p.version.to_string(), p.size)));
        let sources = lock
            .sources
            .iter()
            .map(|(name, s)| (format!("sources.{name}"), (s.version.to_string(), s.size)));
        packages.chain(sources).collect()
    };
    let (before, after) = (old.map(files).unwrap_or_default(), files(new));
    let missing_in = |other: &BTreeMap<String, (String, u64)>,
                      these: &BTreeMap<String, (String, u64)>| {
        these
            .iter()
            .filter(|(n, _)| !other.contains_key(*n))
            .map(|(n, (v, _))| format!("{n} {v}"))
            .collect()
    };
    let update = |(name, (new, _)): (&String, &(String, u64))| {
        let (old, _) = before.get(name)?;
        (old != new).then(|| format!("{name} {old} -> {new}"))
    };
    LockReport {
        changed: old != Some(new),
        added: missing_in(&before, &after),
        removed: missing_in(&after, &before),
        updated: after.iter().filter_map(update).collect(),
        warnings,
        packages: new.packages.len(),
        bytes: after.values().map(|(_, size)| size).sum(),
    }
}
