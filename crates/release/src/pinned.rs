// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a release is made of, from the lock files.

use std::collections::BTreeSet;

use cki_inputs::cargo::{Cargo, read_cargo_lock};
use cki_inputs::licence::licence;
use cki_inputs::{InputsError, lock_json::LockFile, lock_json::SourceKind};

use crate::component::{Component, Role};
use crate::error::ReleaseError;
use crate::ground::Ground;

/// Everything that is pinned, in order: packages and sources of `lock.json`, and the crates of the workspace. Those of
/// the formatter of Nix files are in no output.
pub(crate) fn components<G: Ground>(ground: &G) -> Result<Vec<Component>, G::Error> {
    let lock = ground.lock()?;
    let mut components: BTreeSet<Component> = of_debian(&lock).collect();
    let step = ground
        .progress()
        .short_step("reading the licences of the crates");
    let inputs = ground.inputs(step)?;
    let cargo_lock = ground.checkout().dir.join("Cargo.lock");
    let cargo = Cargo::default();
    let crates = read_cargo_lock(&cargo_lock)
        .map_err(InputsError::from)
        .map_err(ReleaseError::from)?;
    for of in crates {
        let licence = licence(&inputs, &cargo, &of)
            .map_err(InputsError::from)
            .map_err(ReleaseError::from)?;
        let component = Component::of_crate(&of.name, &of.version, &of.sha256, licence);
        components.insert(component);
    }
    Ok(components.into_iter().collect())
}

fn of_debian(lock: &LockFile) -> impl Iterator<Item = Component> + '_ {
    let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let packages = lock.packages.iter().map(move |(name, p)| {
        let named = (name.as_str(), p.version.as_str());
        let file = file(&p.path);
        let arch = if file.ends_with("_all.deb") {
            "all"
        } else {
            &lock.architecture
        };
        Component::of_debian(Role::Tool, named, arch, &p.suite, &file, &p.sha256)
    });
    let sources = lock.sources.values().map(move |s| {
        let named = (s.name.as_str(), s.version.as_str());
        // A package with source code in it is one for all architectures.
        let arch = match s.kind {
            SourceKind::Package => "all",
            SourceKind::Source => "source",
        };
        Component::of_debian(
            Role::Source,
            named,
            arch,
            &s.suite,
            &file(&s.path),
            &s.sha256,
        )
    });
    packages.chain(sources)
}
