// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crates of `Cargo.lock`, and which of them each of our programs is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use thiserror::Error;

/// What machines our programs run on; crates for others are in the lock, and in no program.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Why the crates could not be listed.
#[derive(Debug, Error)]
pub enum Error {
    /// Cargo does not start.
    #[error("cargo metadata does not start: {0}")]
    Start(#[from] std::io::Error),
    /// Cargo says no.
    #[error("cargo metadata failed:\n{0}")]
    Cargo(String),
    /// Its answer has another form.
    #[error("cargo's answer: {0}")]
    Json(#[from] serde_json::Error),
    /// `Cargo.lock` cannot be read.
    #[error("Cargo.lock: {0}")]
    Read(std::io::Error),
    /// `Cargo.lock` has another form.
    #[error("Cargo.lock: {0}")]
    Lock(#[from] toml::de::Error),
}

/// A crate of the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from; none for our own.
    pub source: Option<String>,
    /// SHA-256 of its archive, in hexadecimal.
    pub checksum: Option<String>,
}

/// The crates of the `Cargo.lock` at `path`.
///
/// # Errors
/// [`Error::Read`] when it cannot be read, [`Error::Lock`] when it has another form.
pub fn locked(path: &Path) -> Result<Vec<Locked>, Error> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    let text = std::fs::read_to_string(path).map_err(Error::Read)?;
    Ok(toml::from_str::<Lock>(&text)?.package)
}

/// What `cargo metadata` says of the workspace, for our programs' machines.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every crate, ours and others'.
    pub packages: Vec<Package>,
    resolve: Resolve,
}

/// One crate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Package {
    /// Cargo's name for exactly this one.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The licence that it states.
    pub license: Option<String>,
    /// Where it comes from; none for our own.
    pub source: Option<String>,
    /// Where its manifest is.
    pub manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// None for what is linked, else `dev` or `build`.
    kind: Option<String>,
}

impl Package {
    /// Whether it is compiled into a program: not a procedural macro, which runs in the compiler.
    fn is_linked(&self) -> bool {
        !self.has("proc-macro")
    }

    /// Whether it makes a program.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.has("bin")
    }

    /// The root files of its library and programs.
    #[must_use]
    pub fn roots(&self) -> Vec<PathBuf> {
        self.targets
            .iter()
            .filter(|target| {
                target
                    .kind
                    .iter()
                    .any(|kind| kind == "lib" || kind == "bin")
            })
            .map(|target| target.src_path.clone())
            .collect()
    }

    fn has(&self, wanted: &str) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == wanted))
    }
}

impl Metadata {
    /// Asks cargo, without network.
    ///
    /// # Errors
    /// As [`enum@Error`] says.
    pub fn of(root: &Path) -> Result<Metadata, Error> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(root)
            .args([
                "metadata",
                "--format-version=1",
                "--locked",
                "--offline",
                "--filter-platform",
                TARGET,
            ])
            .output()?;
        if !output.status.success() {
            return Err(Error::Cargo(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Our own crates.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.source.is_none())
    }

    /// Names of the crates that `package` itself uses outside its tests.
    #[must_use]
    pub fn uses(&self, package: &Package) -> BTreeSet<&str> {
        self.uses_of(package, |kind| kind.is_none())
    }

    /// The same, and in its tests and its build.
    #[must_use]
    pub fn uses_anywhere(&self, package: &Package) -> BTreeSet<&str> {
        self.uses_of(package, |_| true)
    }

    fn uses_of(&self, package: &Package, counts: fn(Option<&str>) -> bool) -> BTreeSet<&str> {
        let names: BTreeMap<_, _> = self.packages.iter().map(|p| (&*p.id, &*p.name)).collect();
        self.resolve
            .nodes
            .iter()
            .filter(|node| node.id == package.id)
            .flat_map(|node| &node.deps)
            .filter(|dependency| {
                let mut kinds = dependency.dep_kinds.iter();
                kinds.any(|kind| counts(kind.kind.as_deref()))
            })
            .filter_map(|dependency| names.get(&*dependency.pkg).copied())
            .collect()
    }

    /// The crates that are linked into the program of the package `name`, itself among them.
    ///
    /// # Panics
    /// When there is no such package.
    #[must_use]
    pub fn linked(&self, name: &str) -> Vec<&Package> {
        let packages: BTreeMap<_, _> = self
            .packages
            .iter()
            .map(|package| (&*package.id, package))
            .collect();
        let nodes: BTreeMap<_, _> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (&*node.id, node))
            .collect();
        let start = self
            .ours()
            .find(|package| package.name == name)
            .expect("a package of ours");
        let mut found = BTreeSet::from([&*start.id]);
        let mut next = vec![&*start.id];
        while let Some(id) = next.pop() {
            for dependency in &nodes[id].deps {
                let linked = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if linked && packages[&*dependency.pkg].is_linked() && found.insert(&dependency.pkg)
                {
                    next.push(&dependency.pkg);
                }
            }
        }
        found.into_iter().map(|id| packages[id]).collect()
    }
}

/// Names of which there are several versions, with those.
#[must_use]
pub fn duplicates(crates: &[Locked]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in crates {
        versions.entry(&one.name).or_default().insert(&one.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}
