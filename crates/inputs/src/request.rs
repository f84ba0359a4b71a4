// SPDX-License-Identifier: MIT OR Apache-2.0

//! `request.toml`: what the build wants from Debian. See docs/reference/inputs.md and the comments in the file itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::pin::IndexKind;
use cki_debian::dependency::{Constraint, DependencyError};

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Version of the format; 1.
    pub version: u32,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// Suites in the order of preference.
    pub suites: Vec<SuiteRequest>,
    /// The first program of the build.
    pub seed: SeedRequest,
    /// Packages of every build root.
    pub base: BaseRequest,
    /// Packages that expressions may ask for.
    pub tools: BTreeMap<String, PackageRequest>,
    /// Source code.
    pub sources: BTreeMap<String, SourceRequest>,
}

/// A suite that packages may come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRequest {
    /// Its name.
    pub name: String,
    /// Its component.
    pub component: String,
    /// The indexes that are used.
    pub indexes: BTreeSet<IndexKind>,
    /// Whether packages come from it without being asked for by suite.
    #[serde(default = "yes")]
    pub automatic: bool,
}

fn yes() -> bool {
    true
}

/// The seed: one static program out of a package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRequest {
    /// The package.
    pub package: String,
    /// The program's path in it, without a slash at the beginning.
    pub file: String,
}

/// The build root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseRequest {
    /// Its packages.
    pub packages: BTreeSet<String>,
}

/// Which version of a package is wanted: `"*"`, `"<< 2"`, or a table with version and suite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "PackageRequestForm")]
pub struct PackageRequest {
    /// A constraint, `*` for none.
    pub version: String,
    /// The only suite it may come from.
    pub suite: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum PackageRequestForm {
    Version(String),
    Table {
        #[serde(default = "any")]
        version: String,
        suite: Option<String>,
    },
}

fn any() -> String {
    "*".into()
}

impl From<PackageRequestForm> for PackageRequest {
    fn from(form: PackageRequestForm) -> Self {
        match form {
            PackageRequestForm::Version(version) => Self {
                version,
                suite: None,
            },
            PackageRequestForm::Table { version, suite } => Self { version, suite },
        }
    }
}

/// Reads `*` or a constraint.
pub(super) fn constraint(text: &str) -> Result<Option<Constraint>, DependencyError> {
    if text.trim() == "*" {
        Ok(None)
    } else {
        Constraint::parse(text).map(Some)
    }
}

impl PackageRequest {
    /// The constraint, if there is one.
    ///
    /// # Errors
    /// When the text is neither `*` nor a constraint; not after [`Request::parse`], which looks at them all.
    pub fn constraint(&self) -> Result<Option<Constraint>, DependencyError> {
        constraint(&self.version)
    }
}

/// Source code: exactly one of `package` and `source` is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRequest {
    /// A binary package that holds source code.
    pub package: Option<String>,
    /// A source package of which the upstream tarball is used.
    pub source: Option<String>,
    /// The suite it comes from.
    pub suite: String,
    /// A constraint, `*` for none.
    #[serde(default = "any")]
    pub version: String,
}

/// Why a request cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// It is not TOML of the right form.
    #[error("{path}: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place.
        cause: Box<toml::de::Error>,
    },
    /// Its parts do not fit together.
    #[error("{path}: {problem}")]
    Meaning {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Request {
    /// Reads the file.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn read(path: &Path) -> Result<Self, RequestError> {
        let text = fs::read_to_string(path).map_err(|cause| RequestError::Read {
            path: path.into(),
            cause,
        })?;
        Self::parse(&text, path)
    }

    /// Reads text; `path` names it in messages.
    ///
    /// # Errors
    /// [`RequestError::Syntax`] and [`RequestError::Meaning`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, RequestError> {
        let request: Self = toml::from_str(text).map_err(|cause| RequestError::Syntax {
            path: path.into(),
            cause: Box::new(cause),
        })?;
        match request.problem() {
            Some(problem) => Err(RequestError::Meaning {
                path: path.into(),
                problem,
            }),
            None => Ok(request),
        }
    }

    /// The suite of that name.
    #[must_use]
    pub fn suite(&self, name: &str) -> Option<&SuiteRequest> {
        self.suites.iter().find(|s| s.name == name)
    }

    fn problem(&self) -> Option<String> {
        if self.version != 1 {
            return Some(format!(
                "version {} is not known to this cki-build, which knows version 1",
                self.version
            ));
        }
        let mut names = BTreeSet::new();
        for suite in &self.suites {
            if !names.insert(&suite.name) {
                return Some(format!("suite {} appears twice", suite.name));
            }
            if suite.name.contains(['/', ':']) {
                return Some(format!("'{}' is not the name of a suite", suite.name));
            }
        }
        if !self
            .suites
            .iter()
            .any(|s| s.automatic && s.indexes.contains(&IndexKind::Packages))
        {
            return Some("no automatic suite with binary packages".into());
        }
        for (name, tool) in &self.tools {
            if let Err(e) = tool.constraint() {
                return Some(format!("tools.{name}: {e}"));
            }
            if let Some(problem) = self.suite_problem(tool.suite.as_deref(), IndexKind::Packages) {
                return Some(format!("tools.{name}: {problem}"));
            }
        }
        for (name, source) in &self.sources {
            let kind = match (&source.package, &source.source) {
                (Some(_), None) => IndexKind::Packages,
                (None, Some(_)) => IndexKind::Sources,
                _ => return Some(format!("sources.{name}: give either 'package' or 'source'")),
            };
            if let Err(e) = constraint(&source.version) {
                return Some(format!("sources.{name}: {e}"));
            }
            if let Some(problem) = self.suite_problem(Some(&source.suite), kind) {
                return Some(format!("sources.{name}: {problem}"));
            }
        }
        None
    }

    fn suite_problem(&self, name: Option<&str>, kind: IndexKind) -> Option<String> {
        let name = name?;
        match self.suite(name) {
            None => Some(format!("suite {name} is not among the suites")),
            Some(suite) if !suite.indexes.contains(&kind) => {
                Some(format!("suite {name} has no index of that kind"))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SMALL: &str = r#"
version = 1
architecture = "amd64"
suites = [
  { name = "bookworm", component = "main", indexes = ["packages"] },
  { name = "bookworm-backports", component = "main", indexes = ["packages", "sources"], automatic = false },
]
seed = { package = "busybox-static", file = "bin/busybox" }
base = { packages = ["gcc", "bash"] }
[tools]
flex = "*"
rustc-web = { version = "<< 1.86", suite = "bookworm" }
[sources]
linux = { package = "linux-source-6.12", suite = "bookworm-backports" }
qemu = { source = "qemu", suite = "bookworm-backports" }
"#;

    fn parse(text: &str) -> Result<Request, String> {
        Request::parse(text, Path::new("request.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn both_forms_of_a_package_are_read() {
        let request = parse(SMALL).unwrap();
        assert_eq!(
            request.tools["flex"],
            PackageRequest {
                version: "*".into(),
                suite: None
            }
        );
        assert_eq!(request.tools["flex"].constraint().unwrap(), None);
        assert_eq!(
            request.tools["rustc-web"].suite.as_deref(),
            Some("bookworm")
        );
        assert!(request.suites[0].automatic && !request.suites[1].automatic);
    }

    #[test]
    fn mistakes_are_reported_with_their_place() {
        for (from, to, message) in [
            ("version = 1\n", "version = 2\n", "version 2 is not known"),
            (
                "flex = \"*\"",
                "flex = \"2.6\"",
                "tools.flex: '2.6' does not start with",
            ),
            (
                "suite = \"bookworm\" }",
                "suite = \"trixie\" }",
                "tools.rustc-web: suite trixie is not among",
            ),
            (
                "[\"packages\", \"sources\"]",
                "[\"packages\"]",
                "sources.qemu: suite bookworm-backports has no index",
            ),
            (
                "source = \"qemu\"",
                "source = \"qemu\", package = \"qemu\"",
                "sources.qemu: give either",
            ),
            ("source = \"qemu\", ", "", "sources.qemu: give either"),
            (
                "file = \"bin/busybox\"",
                "path = \"bin/busybox\"",
                "unknown field `path`",
            ),
            (
                "name = \"bookworm-backports\"",
                "name = \"bookworm\"",
                "suite bookworm appears twice",
            ),
            (
                "indexes = [\"packages\"] }",
                "indexes = [\"packages\"], automatic = false }",
                "no automatic suite",
            ),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let error = parse(&SMALL.replacen(from, to, 1)).unwrap_err();
            assert!(
                error.contains(message) && error.starts_with("request.toml: "),
                "{error}"
            );
        }
    }
}
