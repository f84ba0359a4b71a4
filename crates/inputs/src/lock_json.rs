// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lock.json`: exactly which files the build starts from. docs/reference/inputs.md describes the format; Nix reads it
//! too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fetch_error::FetchError;
use crate::mirrors::Suite;
use crate::pin::IndexPin;
use cki_debian::index::{is_relative_path, is_sha256};
use cki_debian::version::Version;
use cki_nix::path::is_store_name;
use cki_process::files::write_atomically;

/// Name of the seed's directory in the store.
pub const SEED_STORE_NAME: &str = "cki-seed";

/// The contents of the file. Fields are in alphabetical order, as in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    /// Debian's name of the architecture.
    pub architecture: String,
    /// Packages of every build root.
    pub base: Vec<String>,
    /// All packages by name.
    pub packages: BTreeMap<String, LockedPackage>,
    /// The first program of the build.
    pub seed: LockedSeed,
    /// Source code by the name that package files use.
    pub sources: BTreeMap<String, LockedSource>,
    /// The suites as they were when this was resolved.
    pub suites: BTreeMap<String, LockedSuite>,
    /// For each tool, its packages.
    pub tools: BTreeMap<String, Vec<String>>,
    /// Version of the format; 1.
    pub version: u32,
}

/// A binary package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Names of the locked packages that it depends on.
    pub deps: Vec<String>,
    /// Path below the mirror's base URI.
    pub path: String,
    /// SHA-256 of the .deb.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Name in the Nix store.
    pub store: String,
    /// Suite it was found in.
    pub suite: String,
    /// Version.
    pub version: Version,
}

/// Where a source's file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A .deb with source code in it.
    Package,
    /// The upstream tarball of a source package.
    Source,
}

/// Source code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// What the file is.
    pub kind: SourceKind,
    /// Name of the Debian package.
    pub name: String,
    /// Path below the mirror's base URI.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Name in the Nix store.
    pub store: String,
    /// Suite it was found in.
    pub suite: String,
    /// Version of the Debian package.
    pub version: Version,
}

/// The seed: a directory in the store with one program in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSeed {
    /// The program's path in the package.
    pub file: String,
    /// The package.
    pub package: String,
    /// SHA-256 of the directory's Nix archive (NAR).
    pub sha256: String,
    /// Name in the Nix store.
    pub store: String,
}

/// A suite's release and the indexes that were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSuite {
    /// Whether packages come from it without being asked for by suite.
    pub automatic: bool,
    /// Component.
    pub component: String,
    /// Date of the release file, as written there.
    pub date: String,
    /// Indexes by kind.
    pub indexes: LockedIndexes,
    /// Its InRelease, which signs the indexes. Locks of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<IndexPin>,
    /// Point release, if the suite has such.
    pub version: Option<String>,
}

/// The indexes of a suite that are in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedIndexes {
    /// Binary packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<IndexPin>,
    /// Source packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<IndexPin>,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// There is none.
    #[error("{} does not exist; make it with `cki-build lock`", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// It is not JSON of the right form, or its entries do not fit together.
    #[error(
        "{path} is damaged ({problem}); restore it from version control or make it anew with `cki-build lock --update`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl LockFile {
    /// Reads the file.
    ///
    /// # Errors
    /// See [`LockFileError`].
    pub fn read(path: &Path) -> Result<Self, LockFileError> {
        let text = fs::read_to_string(path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => LockFileError::Missing(path.into()),
            _ => LockFileError::Read {
                path: path.into(),
                cause,
            },
        })?;
        Self::parse(&text).map_err(|problem| LockFileError::Damaged {
            path: path.into(),
            problem,
        })
    }

    /// Reads text and checks that every entry can be what it says.
    ///
    /// # Errors
    /// A description of what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match lock.problem() {
            Some(problem) => Err(problem),
            None => Ok(lock),
        }
    }

    /// The file's contents: indented, in a fixed order, with a newline at the end.
    ///
    /// # Panics
    /// Never: there are no maps with keys other than strings in it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("strings and numbers can be written as JSON");
        text.push('\n');
        text
    }

    /// Replaces the file, as a whole or not at all.
    ///
    /// # Errors
    /// [`FetchError::File`] or [`FetchError::DiskFull`].
    pub fn write(&self, path: &Path) -> Result<(), FetchError> {
        write_atomically(path, self.to_text().as_bytes()).map_err(|e| FetchError::file(path, e))
    }

    fn problem(&self) -> Option<String> {
        if self.version != 1 {
            return Some(format!(
                "version {} is not known to this cki-build, which knows version 1",
                self.version
            ));
        }
        let files = self
            .packages
            .iter()
            .map(|(name, p)| (name, &p.path, &p.sha256, &p.store, &p.suite));
        let sources = self
            .sources
            .iter()
            .map(|(name, s)| (name, &s.path, &s.sha256, &s.store, &s.suite));
        for (name, path, sha256, store, suite) in files.chain(sources) {
            if !is_relative_path(path) || !is_sha256(sha256) || !is_store_name(store) {
                return Some(format!("the entry of {name} is malformed"));
            }
            if !self.suites.contains_key(suite) {
                return Some(format!(
                    "{name} is of suite {suite}, which is not among the suites"
                ));
            }
        }
        for (name, suite) in &self.suites {
            let indexes = suite.indexes.packages.iter().chain(&suite.indexes.sources);
            let good = |pin: &IndexPin| is_relative_path(&pin.path) && is_sha256(&pin.sha256);
            if !is_relative_path(name) || !indexes.chain(&suite.release).all(good) {
                return Some(format!("the entry of the suite {name} is malformed"));
            }
        }
        if !is_sha256(&self.seed.sha256) || !is_store_name(&self.seed.store) {
            return Some("the seed's entry is malformed".into());
        }
        let deps = self.packages.values().flat_map(|p| &p.deps);
        let roots = self
            .base
            .iter()
            .chain(self.tools.values().flatten())
            .chain([&self.seed.package]);
        let absent = deps
            .chain(roots)
            .find(|name| !self.packages.contains_key(*name));
        absent.map(|name| format!("package {name} is needed but not pinned"))
    }

    /// One of the suites.
    ///
    /// # Panics
    /// When it is not among them; those that [`LockFile::parse`] lets an entry name are.
    #[must_use]
    pub fn suite<'a>(&'a self, name: &'a str) -> Suite<'a> {
        let suite = &self.suites[name];
        Suite {
            name,
            component: &suite.component,
            date: &suite.date,
        }
    }

    /// All packages that `names` need, themselves included, in alphabetical order. Unknown names are left out.
    #[must_use]
    pub fn closure<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut todo: Vec<&str> = names.into_iter().collect();
        while let Some(name) = todo.pop() {
            match self.packages.get_key_value(name) {
                Some((name, package)) if found.insert(name.as_str()) => {
                    todo.extend(package.deps.iter().map(String::as_str));
                }
                _ => {}
            }
        }
        found
    }

    /// The packages that base, tools and seed need.
    #[must_use]
    pub fn needed(&self) -> BTreeSet<&str> {
        let roots = self
            .base
            .iter()
            .chain(self.tools.values().flatten())
            .chain([&self.seed.package]);
        self.closure(roots.map(String::as_str))
    }
}
