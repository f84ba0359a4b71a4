// SPDX-License-Identifier: MIT OR Apache-2.0

//! The packages of an application image: what a minimal Debian has, and what the user asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::archive;
use crate::error::InputsError;
use crate::fetch_error::FetchError;
use crate::inputs::Inputs;
use crate::lock_json::{LockFile, LockedSuite};
use crate::order::{Relations, order};
use crate::pin::{IndexKind, IndexPin};
use crate::plan::{AppPackage, AppPlan, AppSuite, FORMAT, digest};
use crate::updates::{Updates, Versions, updates};
use cki_debian::dependency;
use cki_debian::index::PackageIndex;
use cki_debian::name::name_and_suite;
use cki_debian::resolver::{self, Chosen, ResolveError, Want};
use cki_nix::path::store_name_of;
use cki_process::files::write_atomically;

/// Resolves the packages for an application image from the indexes that the lock file pins, and from those of security
/// updates if `versions` says so.
///
/// If the archive no longer has the pinned indexes, its current ones are used, after their signature was checked, and
/// the plan has a warning. A plan that was resolved before is taken from the cache, without reading any index.
///
/// # Errors
/// See [`InputsError`]; an unknown package is [`resolver::ResolveError::Unknown`] with the nearest names.
pub fn resolve_app(
    inputs: &Inputs,
    lock: &LockFile,
    names: &[String],
    versions: Versions,
) -> Result<AppPlan, InputsError> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut suites = suites_for(lock, &names)?;
    let updates = match versions {
        Versions::Pinned => Updates::default(),
        Versions::Current => updates(inputs, &suites, &lock.architecture, SystemTime::now())?,
    };
    let mut warnings = updates.warnings;
    if let Some(plan) = cached(inputs, &suites, &updates.suites, &names) {
        return Ok(AppPlan { warnings, ..plan });
    }
    let _guard = inputs.lock()?;
    let known = warnings.len();
    for (name, suite) in &mut suites {
        warnings.extend(make_available(inputs, name, suite, &lock.architecture)?);
    }
    // The current indexes may have been used before.
    if warnings.len() > known {
        if let Some(plan) = cached(inputs, &suites, &updates.suites, &names) {
            return Ok(AppPlan { warnings, ..plan });
        }
    }
    let pinned = read_indexes(inputs, &suites)?;
    let path = inputs
        .downloads
        .plan(&key(&suites, &updates.suites, &names));
    let plan = match with_updates(inputs, lock, &names, &suites, &updates.suites, pinned) {
        Ok(plan) => plan,
        Err(without) => {
            let Without { error, plan } = *without;
            let Some(plan) = plan else {
                return Err(error);
            };
            warnings.push(format!(
                "the image gets no security updates, which do not fit the pinned release: {error}. \
                 `cki-build lock --update` pins the release of today; `--pinned` does without updates"
            ));
            // It is not kept under the name of what it would be with them.
            return Ok(AppPlan { warnings, ..plan });
        }
    };
    let text = serde_json::to_vec(&plan).expect("strings and numbers can be written as JSON");
    write_atomically(&path, &text).map_err(|e| FetchError::file(&path, e))?;
    Ok(AppPlan { warnings, ..plan })
}

/// The pinned suites that packages come from: those that do so unasked, and those that are asked for.
fn suites_for(
    lock: &LockFile,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, LockedSuite>, InputsError> {
    let mut pinned = lock.suites.clone();
    pinned.retain(|_, suite| suite.indexes.packages.is_some());
    let asked: BTreeMap<&str, &str> = names
        .iter()
        .filter_map(|name| name_and_suite(name).1.map(|suite| (suite, *name)))
        .collect();
    if let Some((suite, name)) = asked
        .iter()
        .find(|(suite, _)| !pinned.contains_key(**suite))
    {
        return Err(InputsError::NoSuite {
            name: (*name).to_owned(),
            suite: (*suite).to_owned(),
            known: pinned.into_keys().collect(),
        });
    }
    pinned.retain(|name, suite| suite.automatic || asked.contains_key(name.as_str()));
    Ok(pinned)
}

/// Why there is no plan with updates, and the plan without them, if there is one.
struct Without {
    error: InputsError,
    plan: Option<AppPlan>,
}

impl Without {
    fn any(error: impl Into<InputsError>) -> Box<Self> {
        let error = error.into();
        Box::new(Self { error, plan: None })
    }
}

/// The plan of the indexes `pinned`, which are those of `suites`, and the updates.
fn with_updates(
    inputs: &Inputs,
    lock: &LockFile,
    names: &BTreeSet<&str>,
    suites: &BTreeMap<String, LockedSuite>,
    updates: &BTreeMap<String, LockedSuite>,
    pinned: Vec<PackageIndex>,
) -> Result<AppPlan, Box<Without>> {
    inputs.cancel.check().map_err(Without::any)?;
    if updates.is_empty() {
        return plan(&pinned, lock, suites, names).map_err(Without::any);
    }
    let all = suites.iter().chain(updates);
    let all = all.map(|(name, suite)| (name.clone(), suite.clone()));
    let (error, pinned) = match read_indexes(inputs, updates) {
        Ok(mut indexes) => {
            // An update counts where it is newer: a point release takes up those of before, and may be newer than they.
            for index in &mut indexes {
                index.keep_newer_than(&pinned);
            }
            let at = indexes.len();
            indexes.extend(pinned);
            match plan(&indexes, lock, &all.collect(), names) {
                Ok(plan) => return Ok(plan),
                Err(error) => (error, indexes.split_off(at)),
            }
        }
        Err(error) => (error, pinned),
    };
    let plan = plan(&pinned, lock, suites, names).ok();
    Err(Box::new(Without { error, plan }))
}

fn read_indexes(
    inputs: &Inputs,
    suites: &BTreeMap<String, LockedSuite>,
) -> Result<Vec<PackageIndex>, InputsError> {
    let mut indexes = Vec::new();
    for (name, suite) in suites {
        inputs
            .shown
            .part(&format!("reading the packages of {name}"));
        if let Some(pin) = &suite.indexes.packages {
            indexes.push(archive::read_packages(inputs, name, suite.automatic, pin)?);
        }
    }
    Ok(indexes)
}

/// Brings the pinned index into the cache; replaces the pin by the current one if that is no longer possible, and says
/// so.
fn make_available(
    inputs: &Inputs,
    name: &str,
    suite: &mut LockedSuite,
    architecture: &str,
) -> Result<Option<String>, InputsError> {
    let Some(pin) = &suite.indexes.packages else {
        return Ok(None);
    };
    let gone = match archive::fetch_index(inputs, name, &suite.component, pin, &suite.date) {
        Ok(_) => return Ok(None),
        Err(InputsError::Fetch(FetchError::Gone { .. } | FetchError::WrongHash { .. })) => {
            suite.date.clone()
        }
        Err(error) => return Err(error),
    };
    let (release, signed) = archive::current_release(inputs, name, &suite.component, Some(&gone))?;
    let pin = archive::pin(
        &release,
        name,
        &IndexKind::Packages.path(&suite.component, architecture),
    )?;
    archive::fetch_index(inputs, name, &suite.component, &pin, &release.date)?;
    let warning = format!(
        "the mirror no longer has {name} as pinned ({gone}); the packages are those of {}, as signed by the archive. \
         `cki-build lock --update` pins that state",
        release.date
    );
    (suite.indexes.packages, suite.date, suite.version) =
        (Some(pin), release.date, release.version);
    suite.release = Some(signed);
    Ok(Some(warning))
}

fn plan(
    indexes: &[PackageIndex],
    lock: &LockFile,
    suites: &BTreeMap<String, LockedSuite>,
    names: &BTreeSet<&str>,
) -> Result<AppPlan, InputsError> {
    let essential: BTreeSet<&str> = indexes.iter().flat_map(PackageIndex::essential).collect();
    let asked = names.iter().map(|name| {
        let (name, suite) = name_and_suite(name);
        Want {
            suite: suite.map(str::to_owned),
            ..Want::any(name, "the command line")
        }
    });
    let bare: BTreeSet<&str> = names.iter().map(|name| name_and_suite(name).0).collect();
    let always = essential
        .difference(&bare)
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
    let relations = resolution
        .packages
        .iter()
        .map(|(name, chosen)| relations(chosen).map(|relations| (name.clone(), relations)))
        .collect::<Result<_, _>>()?;
    let order = order(&relations, &essential);
    let used: BTreeSet<&str> = packages.iter().map(|p| p.suite.as_str()).collect();
    let of = |(name, suite): (&String, &LockedSuite)| {
        let (component, date) = (suite.component.clone(), suite.date.clone());
        (name.clone(), AppSuite { component, date })
    };
    let suites = suites.iter().filter(|(name, _)| used.contains(&name[..]));
    Ok(AppPlan {
        version: FORMAT,
        requested: names.iter().map(ToString::to_string).collect(),
        roots: names
            .iter()
            .map(|name| resolution.roots[name_and_suite(name).0].clone())
            .collect(),
        essential: essential.iter().map(ToString::to_string).collect(),
        suites: suites.map(of).collect(),
        hash: digest(&packages, &order.base, &order.steps),
        packages,
        base: order.base,
        steps: order.steps,
        warnings: Vec::new(),
    })
}

/// What the order of installation follows from.
fn relations(chosen: &Chosen) -> Result<Relations, InputsError> {
    let mut pre = BTreeSet::new();
    if let Some((_, package)) = chosen.found {
        let groups = dependency::parse(&package.pre_depends).map_err(|cause| {
            InputsError::from(ResolveError::Malformed {
                package: package.name.clone(),
                cause,
            })
        })?;
        for group in groups {
            let names: BTreeSet<_> = group.alternatives.iter().map(|r| &r.name).collect();
            let served = chosen.deps.iter().filter(|dep| names.contains(dep));
            let served: Vec<_> = served.cloned().collect();
            // A virtual name is served by one of them, and to wait for all is never wrong.
            pre.extend(if served.is_empty() {
                chosen.deps.clone()
            } else {
                served
            });
        }
    }
    Ok(Relations {
        deps: chosen.deps.clone(),
        pre,
    })
}

/// What a plan follows from: the indexes and the names.
fn key(
    suites: &BTreeMap<String, LockedSuite>,
    updates: &BTreeMap<String, LockedSuite>,
    names: &BTreeSet<&str>,
) -> String {
    let pins: Vec<(&String, Option<&IndexPin>)> = suites
        .iter()
        .chain(updates)
        .map(|(n, s)| (n, s.indexes.packages.as_ref()))
        .collect();
    let json = serde_json::to_vec(&(FORMAT, pins, names))
        .expect("strings and numbers can be written as JSON");
    format!("{:x}", Sha256::digest(json))
}

/// A plan that was resolved before. One that cannot be read is as good as none.
fn cached(
    inputs: &Inputs,
    suites: &BTreeMap<String, LockedSuite>,
    updates: &BTreeMap<String, LockedSuite>,
    names: &BTreeSet<&str>,
) -> Option<AppPlan> {
    let text = fs::read(inputs.downloads.plan(&key(suites, updates, names))).ok()?;
    serde_json::from_slice(&text)
        .ok()
        .filter(|plan: &AppPlan| plan.version == FORMAT)
}
