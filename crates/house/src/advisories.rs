// SPDX-License-Identifier: MIT OR Apache-2.0

//! Advisories about crates, in the form of the RustSec database: Markdown files that begin with a block of TOML
//! (`crates/NAME/RUSTSEC-YEAR-NUMBER.md`).

use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde::Deserialize;
use thiserror::Error;

/// Why a database could not be read.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no advisory.
    #[error("{path}: {why}")]
    Form {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// One advisory.
#[derive(Debug, Deserialize)]
pub struct Advisory {
    advisory: About,
    versions: Versions,
}

#[derive(Debug, Deserialize)]
struct About {
    id: String,
    package: String,
    /// "unmaintained", "notice" or "unsound"; a vulnerability has none.
    informational: Option<String>,
    /// When it was taken back, if it was.
    withdrawn: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Versions {
    patched: Vec<VersionReq>,
    #[serde(default)]
    unaffected: Vec<VersionReq>,
}

impl Advisory {
    /// Reads the text of one file.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(text: &str) -> Result<Advisory, String> {
        let (_, rest) = text.split_once("```toml\n").ok_or("no block of TOML")?;
        let (block, _) = rest
            .split_once("\n```")
            .ok_or("the block of TOML does not end")?;
        toml::from_str(block).map_err(|error| error.to_string())
    }

    /// Its name, "RUSTSEC-2021-0145" for example.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.advisory.id
    }

    /// Whether it is about something that a program must not be built with: a vulnerability or unsoundness in this
    /// version of the crate. That nobody maintains a crate any more is no such thing.
    #[must_use]
    pub fn concerns(&self, name: &str, version: &Version) -> bool {
        let spared =
            |requirements: &[VersionReq]| requirements.iter().any(|one| one.matches(version));
        self.advisory.package == name
            && self.advisory.withdrawn.is_none()
            && matches!(
                self.advisory.informational.as_deref(),
                None | Some("unsound")
            )
            && !spared(&self.versions.patched)
            && !spared(&self.versions.unaffected)
    }
}

/// The advisories about the crate `name` in the database at `database`.
///
/// # Errors
/// As [`enum@Error`] says; a crate without advisories is no error.
pub fn about(database: &Path, name: &str) -> Result<Vec<Advisory>, Error> {
    let folder = database.join("crates").join(name);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| Error::Io { path, source }
    };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(failed(&folder))? {
        let path = entry.map_err(failed(&folder))?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
            found.push(Advisory::parse(&text).map_err(|why| Error::Form { path, why })?);
        }
    }
    Ok(found)
}
