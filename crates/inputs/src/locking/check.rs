// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a lock file has what a request asks for; needs no network.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::lock_json::{LockFile, LockedSource, SEED_STORE_NAME, SourceKind};
use crate::pin::IndexKind;
use crate::request::{Request, SourceRequest, constraint};
use cki_nix::path::store_name_of;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Whether there is nothing to complain about.
    pub consistent: bool,
    /// What does not fit; one sentence each.
    pub problems: Vec<String>,
}

/// Compares request and lock file. What [`LockFile::parse`] checks is not checked again.
#[must_use]
pub fn check(request: &Request, lock: &LockFile) -> CheckReport {
    let mut problems = Vec::new();
    if request.architecture != lock.architecture {
        problems.push(format!(
            "the lock is for {}, the request for {}",
            lock.architecture, request.architecture
        ));
    }
    check_suites(request, lock, &mut problems);
    check_tools(request, lock, &mut problems);
    check_sources(request, lock, &mut problems);
    // Virtual names are served by packages of other names, which cannot be told from here; only the plain case is
    // checked.
    let base: BTreeSet<&String> = lock.base.iter().collect();
    for name in request
        .base
        .packages
        .iter()
        .filter(|name| lock.packages.contains_key(*name))
    {
        if !base.contains(name) {
            problems.push(format!("base package {name} is not in the lock's base"));
        }
    }
    for name in request
        .base
        .packages
        .iter()
        .filter(|name| !lock.packages.contains_key(*name))
    {
        problems.push(format!("base package {name} is not pinned"));
    }
    for name in base {
        if !request.base.packages.contains(name) {
            problems.push(format!(
                "base package {name} is pinned but no longer asked for"
            ));
        }
    }
    if (&lock.seed.package, &lock.seed.file) != (&request.seed.package, &request.seed.file)
        || lock.seed.store != SEED_STORE_NAME
    {
        problems.push("the seed is another one than asked for".into());
    }
    let needed = lock.needed();
    for (name, package) in &lock.packages {
        if !needed.contains(name.as_str()) {
            problems.push(format!("package {name} is pinned but nothing needs it"));
        }
        if package.store != store_name_of(&package.path) {
            problems.push(format!(
                "package {name} has the store name {}",
                package.store
            ));
        }
    }
    CheckReport {
        consistent: problems.is_empty(),
        problems,
    }
}

fn check_suites(request: &Request, lock: &LockFile, problems: &mut Vec<String>) {
    let asked: BTreeSet<&String> = request.suites.iter().map(|s| &s.name).collect();
    let pinned: BTreeSet<&String> = lock.suites.keys().collect();
    problems.extend(
        asked
            .difference(&pinned)
            .map(|name| format!("suite {name} is not pinned")),
    );
    problems.extend(
        pinned
            .difference(&asked)
            .map(|name| format!("suite {name} is pinned but no longer asked for")),
    );
    for suite in &request.suites {
        let Some(locked) = lock.suites.get(&suite.name) else {
            continue;
        };
        let kinds: BTreeSet<_> = [
            locked
                .indexes
                .packages
                .as_ref()
                .map(|_| IndexKind::Packages),
            locked.indexes.sources.as_ref().map(|_| IndexKind::Sources),
        ]
        .into_iter()
        .flatten()
        .collect();
        if (&locked.component, locked.automatic) != (&suite.component, suite.automatic)
            || kinds != suite.indexes
        {
            problems.push(format!(
                "suite {} is pinned with another component, preference or index",
                suite.name
            ));
        }
    }
}

fn check_tools(request: &Request, lock: &LockFile, problems: &mut Vec<String>) {
    for (name, wanted) in &request.tools {
        let Some(packages) = lock.tools.get(name) else {
            problems.push(format!("tool {name} is not pinned"));
            continue;
        };
        let constraint = wanted.constraint().unwrap_or_default();
        for package in packages.iter().filter_map(|p| lock.packages.get(p)) {
            if constraint
                .as_ref()
                .is_some_and(|c| !c.accepts(&package.version))
            {
                problems.push(format!(
                    "tool {name} is pinned to {}, which is not {}",
                    package.version, wanted.version
                ));
            }
            if wanted
                .suite
                .as_ref()
                .is_some_and(|suite| *suite != package.suite)
            {
                problems.push(format!(
                    "tool {name} is pinned from the suite {}",
                    package.suite
                ));
            }
        }
    }
    let extra = lock
        .tools
        .keys()
        .filter(|name| !request.tools.contains_key(*name));
    problems.extend(extra.map(|name| format!("tool {name} is pinned but no longer asked for")));
}

fn check_sources(request: &Request, lock: &LockFile, problems: &mut Vec<String>) {
    for (name, wanted) in &request.sources {
        match lock.sources.get(name) {
            None => problems.push(format!("source {name} is not pinned")),
            Some(old) if !source_fits(wanted, old) => {
                problems.push(format!(
                    "source {name} is pinned to {} {} from {}",
                    old.name, old.version, old.suite
                ));
            }
            Some(_) => {}
        }
    }
    let extra = lock
        .sources
        .keys()
        .filter(|name| !request.sources.contains_key(*name));
    problems.extend(extra.map(|name| format!("source {name} is pinned but no longer asked for")));
}

/// Whether a pinned source is what the request asks for.
pub(super) fn source_fits(wanted: &SourceRequest, locked: &LockedSource) -> bool {
    let name = match locked.kind {
        SourceKind::Package => &wanted.package,
        SourceKind::Source => &wanted.source,
    };
    let accepts = constraint(&wanted.version)
        .unwrap_or_default()
        .is_none_or(|c| c.accepts(&locked.version));
    name.as_ref() == Some(&locked.name) && wanted.suite == locked.suite && accepts
}
