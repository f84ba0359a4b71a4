// SPDX-License-Identifier: MIT OR Apache-2.0

//! The packages of an application image: what a minimal Debian has, and what the user asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::archive::{self, IndexKind, IndexPin};
use super::cache::write_atomically;
use super::fetch::FetchError;
use super::lock::store_name_of;
use super::lockfile::{LockFile, LockedSuite};
use super::{Context, InputsError};
use cki_debian::index::PackageIndex;
use cki_debian::resolver::{self, Want};
use cki_debian::version::Version;
use cki_nix::path::Mode;
use cki_nix::store::Nix;

/// Version of the plan's format and of the way it is resolved; part of the key under which plans are cached.
const FORMAT: u32 = 1;

/// All packages of an application image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPlan {
    /// Version of the format; 1.
    pub version: u32,
    /// What the user asked for.
    pub requested: Vec<String>,
    /// For each of `requested`, the package that serves it: itself unless the name is virtual.
    pub roots: Vec<String>,
    /// The packages that every Debian system must have (`Essential: yes`); what they depend on is in `packages` as well.
    pub essential: Vec<String>,
    /// Component of all packages.
    pub component: String,
    /// Date of the archive they were found in, as its release file has it.
    pub date: String,
    /// All packages, in alphabetical order.
    pub packages: Vec<AppPackage>,
    /// SHA-256 of `packages` as JSON: equal for equal contents of the image.
    pub hash: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A package of an application image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPackage {
    /// Name.
    pub package: String,
    /// Version.
    pub version: Version,
    /// Suite it was found in.
    pub suite: String,
    /// Path below the mirror's base URI.
    pub path: String,
    /// SHA-256 of the .deb.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Name in the Nix store.
    pub store: String,
    /// Names of the packages of the plan that it depends on.
    pub deps: Vec<String>,
}

impl AppPlan {
    /// Bytes of all packages.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packages.iter().map(|p| p.size).sum()
    }

    /// Where the .deb files are in the store once [`super::provide::provide_app`] has run, in the order of `packages`.
    #[must_use]
    pub fn store_paths(&self, nix: &Nix) -> Vec<PathBuf> {
        self.packages
            .iter()
            .map(|p| nix.fixed_output(&p.store, Mode::Flat, &p.sha256))
            .collect()
    }
}

/// Resolves the packages for an application image from the indexes that the lock file pins.
///
/// If the archive no longer has those indexes, its current ones are used, after their signature was checked, and the plan has
/// a warning. A plan that was resolved before is taken from the cache, without reading any index.
///
/// # Errors
/// See [`InputsError`]; an unknown package is [`resolver::ResolveError::Unknown`] with the nearest names.
pub fn resolve_app(
    context: &Context,
    lock: &LockFile,
    names: &[String],
) -> Result<AppPlan, InputsError> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut suites: BTreeMap<&str, LockedSuite> = lock
        .suites
        .iter()
        .filter(|(_, suite)| suite.automatic && suite.indexes.packages.is_some())
        .map(|(name, suite)| (name.as_str(), suite.clone()))
        .collect();
    if let Some(plan) = cached(context, &suites, &names) {
        return Ok(plan);
    }
    let _guard = context
        .cache
        .lock(context.progress.as_ref(), &context.cancel)?;
    let mut warnings = Vec::new();
    for (name, suite) in &mut suites {
        warnings.extend(make_available(context, name, suite, &lock.architecture)?);
    }
    // The current indexes may have been used before.
    if !warnings.is_empty() {
        if let Some(plan) = cached(context, &suites, &names) {
            return Ok(AppPlan { warnings, ..plan });
        }
    }
    let mut indexes = Vec::new();
    for (name, suite) in &suites {
        context
            .progress
            .step(&format!("reading the packages of {name}"));
        if let Some(pin) = &suite.indexes.packages {
            indexes.push(archive::read_packages(context, name, true, pin)?);
        }
    }
    context.cancel.check()?;
    let plan = plan(&indexes, lock, &suites, &names)?;
    let path = context.cache.plan(&key(&suites, &names));
    let text = serde_json::to_vec(&plan).expect("strings and numbers can be written as JSON");
    write_atomically(&path, &text).map_err(|e| FetchError::file(&path, e))?;
    Ok(AppPlan { warnings, ..plan })
}

/// Brings the pinned index into the cache; replaces the pin by the current one if that is no longer possible, and says so.
fn make_available(
    context: &Context,
    name: &str,
    suite: &mut LockedSuite,
    architecture: &str,
) -> Result<Option<String>, InputsError> {
    let Some(pin) = &suite.indexes.packages else {
        return Ok(None);
    };
    let gone = match archive::fetch_index(context, name, &suite.component, pin, &suite.date) {
        Ok(_) => return Ok(None),
        Err(InputsError::Fetch(FetchError::Gone { .. } | FetchError::WrongHash { .. })) => {
            suite.date.clone()
        }
        Err(error) => return Err(error),
    };
    let release = archive::current_release(context, name, &suite.component)?;
    let pin = archive::pin(
        &release,
        name,
        &IndexKind::Packages.path(&suite.component, architecture),
    )?;
    archive::fetch_index(context, name, &suite.component, &pin, &release.date)?;
    let warning = format!(
        "the mirror no longer has {name} as pinned ({gone}); the packages are those of {}, as signed by the archive. \
         `cki-build lock --update` pins that state",
        release.date
    );
    (suite.indexes.packages, suite.date, suite.version) =
        (Some(pin), release.date, release.version);
    Ok(Some(warning))
}

fn plan(
    indexes: &[PackageIndex],
    lock: &LockFile,
    suites: &BTreeMap<&str, LockedSuite>,
    names: &BTreeSet<&str>,
) -> Result<AppPlan, InputsError> {
    let essential: BTreeSet<&str> = indexes.iter().flat_map(PackageIndex::essential).collect();
    let asked = names.iter().map(|name| Want::any(name, "the command line"));
    let always = essential
        .difference(names)
        .map(|name| Want::any(name, "every Debian system (Essential: yes)"));
    let wants: Vec<Want> = asked.chain(always).collect();
    let resolution = resolver::resolve(indexes, &lock.architecture, &wants, &BTreeMap::new())?;
    let packages: Vec<AppPackage> = resolution
        .packages
        .iter()
        .filter_map(|(name, chosen)| {
            let (suite, package) = chosen.found?;
            Some(AppPackage {
                package: name.clone(),
                version: package.version.clone(),
                suite: suite.into(),
                path: package.path.clone(),
                sha256: package.sha256.clone(),
                size: package.size,
                store: store_name_of(&package.path),
                deps: chosen.deps.clone(),
            })
        })
        .collect();
    let json = serde_json::to_vec(&packages).expect("strings and numbers can be written as JSON");
    let first = suites.values().next();
    Ok(AppPlan {
        version: FORMAT,
        requested: names.iter().map(ToString::to_string).collect(),
        roots: names
            .iter()
            .map(|name| resolution.roots[*name].clone())
            .collect(),
        essential: essential.iter().map(ToString::to_string).collect(),
        component: first.map(|s| s.component.clone()).unwrap_or_default(),
        date: first.map(|s| s.date.clone()).unwrap_or_default(),
        packages,
        hash: format!("{:x}", Sha256::digest(json)),
        warnings: Vec::new(),
    })
}

/// What a plan follows from: the indexes and the names.
fn key(suites: &BTreeMap<&str, LockedSuite>, names: &BTreeSet<&str>) -> String {
    let pins: Vec<(&&str, Option<&IndexPin>)> = suites
        .iter()
        .map(|(n, s)| (n, s.indexes.packages.as_ref()))
        .collect();
    let json = serde_json::to_vec(&(FORMAT, pins, names))
        .expect("strings and numbers can be written as JSON");
    format!("{:x}", Sha256::digest(json))
}

/// A plan that was resolved before. One that cannot be read is as good as none.
fn cached(
    context: &Context,
    suites: &BTreeMap<&str, LockedSuite>,
    names: &BTreeSet<&str>,
) -> Option<AppPlan> {
    let text = fs::read(context.cache.plan(&key(suites, names))).ok()?;
    serde_json::from_slice(&text)
        .ok()
        .filter(|plan: &AppPlan| plan.version == FORMAT)
}
