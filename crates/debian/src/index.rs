// SPDX-License-Identifier: MIT OR Apache-2.0

//! The indexes of a suite: `Packages` (binary packages) and `Sources`.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::control::{ControlError, Paragraph, Paragraphs};
use super::dependency::{self, DependencyError};
use super::version::{Version, VersionError};

/// A binary package as its index describes it.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: Version,
    /// Path of the .deb below the mirror's base URI.
    pub path: String,
    /// SHA-256 of the .deb, lower-case hexadecimal.
    pub sha256: String,
    /// Size of the .deb in bytes.
    pub size: u64,
    /// `Pre-Depends` and `Depends`, as written, joined by a comma.
    pub depends: String,
    /// `Pre-Depends` alone, as written.
    pub pre_depends: String,
    /// Whether every Debian system must have it (`Essential: yes`).
    pub essential: bool,
    /// `required`, `important`, `standard` and `optional` as 0 to 3; anything else 4.
    pub priority: u8,
}

/// A source package and its files.
#[derive(Debug, Clone)]
pub struct SourcePackage {
    /// Name.
    pub name: String,
    /// Version.
    pub version: Version,
    /// Directory of its files below the mirror's base URI.
    pub directory: String,
    /// Name, SHA-256 and size of each file.
    pub files: Vec<(String, String, u64)>,
}

impl SourcePackage {
    /// The upstream tarball: the file `*.orig.tar.*` that is neither a signature nor an additional component.
    #[must_use]
    pub fn upstream_tarball(&self) -> Option<&(String, String, u64)> {
        self.files
            .iter()
            .find(|(name, _, _)| name.contains(".orig.tar.") && !name.ends_with(".asc"))
    }
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not a control file.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A paragraph lacks a field or has a value that cannot be.
    #[error("paragraph at line {line}: field '{field}' is missing or malformed")]
    Field {
        /// Line of the paragraph's first field.
        line: usize,
        /// The field's name.
        field: &'static str,
    },
    /// An invalid version.
    #[error("paragraph at line {line}: {cause}")]
    Version {
        /// Line of the paragraph's first field.
        line: usize,
        /// What is wrong.
        cause: VersionError,
    },
    /// `Provides` that cannot be read.
    #[error("package {package}: Provides: {cause}")]
    Provides {
        /// The package's name.
        package: String,
        /// What is wrong.
        cause: DependencyError,
    },
}

/// A package that provides a virtual name.
#[derive(Debug, Clone)]
struct Provider {
    package: usize,
    version: Option<Version>,
}

/// The binary packages of one suite.
#[derive(Debug, Default)]
pub struct PackageIndex {
    /// Name of the suite.
    pub suite: String,
    /// Whether packages come from here without being asked for by suite.
    pub automatic: bool,
    packages: Vec<Package>,
    by_name: BTreeMap<String, Vec<usize>>,
    provided: BTreeMap<String, Vec<Provider>>,
}

const FIELDS: &[&str] = &[
    "Package",
    "Version",
    "Filename",
    "SHA256",
    "Size",
    "Depends",
    "Pre-Depends",
    "Provides",
    "Essential",
    "Priority",
];

fn required(p: &mut Paragraph, field: &'static str) -> Result<String, IndexError> {
    let line = p.line;
    p.take(field)
        .filter(|v| !v.is_empty())
        .ok_or(IndexError::Field { line, field })
}

fn version_of(p: &mut Paragraph) -> Result<Version, IndexError> {
    let text = required(p, "Version")?;
    Version::parse(&text).map_err(|cause| IndexError::Version {
        line: p.line,
        cause,
    })
}

/// Whether the text is a SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether a path from an archive's index stays below the directory it is joined to.
#[must_use]
pub fn is_relative_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| !["", ".", ".."].contains(&part))
        && !path.contains('\\')
}

impl PackageIndex {
    /// Reads a `Packages` file (uncompressed).
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn read(suite: &str, automatic: bool, input: impl BufRead) -> Result<Self, IndexError> {
        let mut index = Self {
            suite: suite.into(),
            automatic,
            ..Self::default()
        };
        for paragraph in Paragraphs::keeping(input, FIELDS) {
            index.add(paragraph?)?;
        }
        for (name, list) in &mut index.by_name {
            list.sort_by(|a, b| index.packages[*b].version.cmp(&index.packages[*a].version));
            debug_assert!(list.iter().all(|i| index.packages[*i].name == *name));
        }
        Ok(index)
    }

    fn add(&mut self, mut p: Paragraph) -> Result<(), IndexError> {
        let line = p.line;
        let name = required(&mut p, "Package")?;
        if !dependency::is_package_name(&name) {
            return Err(IndexError::Field {
                line,
                field: "Package",
            });
        }
        let version = version_of(&mut p)?;
        let path = required(&mut p, "Filename")?;
        if !is_relative_path(&path) {
            return Err(IndexError::Field {
                line,
                field: "Filename",
            });
        }
        let sha256 = required(&mut p, "SHA256")?;
        if !is_sha256(&sha256) {
            return Err(IndexError::Field {
                line,
                field: "SHA256",
            });
        }
        let size = required(&mut p, "Size")?
            .parse()
            .map_err(|_| IndexError::Field {
                line,
                field: "Size",
            })?;
        let pre_depends = p.take("Pre-Depends").unwrap_or_default();
        let mut depends = pre_depends.clone();
        if let Some(more) = p.take("Depends") {
            depends = if depends.is_empty() {
                more
            } else {
                format!("{depends}, {more}")
            };
        }
        let at = self.packages.len();
        if let Some(provides) = p.take("Provides") {
            let relations = dependency::parse(&provides).map_err(|cause| IndexError::Provides {
                package: name.clone(),
                cause,
            })?;
            for relation in relations.into_iter().flat_map(|group| group.alternatives) {
                // Only `=` is allowed here (Policy 7.5).
                let version = relation.constraint.map(|c| c.version);
                self.provided
                    .entry(relation.name)
                    .or_default()
                    .push(Provider {
                        package: at,
                        version,
                    });
            }
        }
        let priority = match p.get("Priority").unwrap_or("") {
            "required" => 0,
            "important" => 1,
            "standard" => 2,
            "optional" => 3,
            _ => 4,
        };
        let essential = p.get("Essential") == Some("yes");
        self.by_name.entry(name.clone()).or_default().push(at);
        self.packages.push(Package {
            name,
            version,
            path,
            sha256,
            size,
            depends,
            pre_depends,
            essential,
            priority,
        });
        Ok(())
    }

    /// Versions of a package, newest first.
    pub fn versions<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Package> + use<'a> {
        self.by_name
            .get(name)
            .into_iter()
            .flatten()
            .map(|i| &self.packages[*i])
    }

    /// Packages that provide a virtual name with the version they provide it in, in the order of priority and name, so
    /// that the choice does not depend on the order of the index. Only the newest version of a package counts.
    #[must_use]
    pub fn providers(&self, name: &str) -> Vec<(&Package, Option<&Version>)> {
        let mut found: Vec<_> = self
            .provided
            .get(name)
            .into_iter()
            .flatten()
            .map(|p| (&self.packages[p.package], p.version.as_ref()))
            .filter(|(p, _)| {
                self.versions(&p.name)
                    .next()
                    .is_some_and(|newest| newest.version == p.version)
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        found
    }

    /// All names of real and virtual packages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name
            .keys()
            .chain(self.provided.keys())
            .map(String::as_str)
    }

    /// Names of the packages with `Essential: yes`, in alphabetical order.
    #[must_use]
    pub fn essential(&self) -> Vec<&str> {
        let newest = |list: &Vec<usize>| list.first().is_some_and(|i| self.packages[*i].essential);
        self.by_name
            .iter()
            .filter(|(_, list)| newest(list))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Leaves only versions that are newer than all that `others` have of the same package: what an update brings. A
    /// package that the others do not have stays, and who has to be asked for by name is not asked.
    pub fn keep_newer_than(&mut self, others: &[Self]) {
        let packages = &self.packages;
        self.by_name.retain(|name, list| {
            let theirs = others
                .iter()
                .filter(|other| other.automatic)
                .filter_map(|other| other.versions(name).next());
            if let Some(newest) = theirs.map(|package| &package.version).max() {
                list.retain(|&at| packages[at].version > *newest);
            }
            !list.is_empty()
        });
    }

    /// Number of packages, all versions counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.values().map(Vec::len).sum()
    }

    /// Whether there is no package at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// Reads the entries for one source package out of a `Sources` file (uncompressed), newest first.
///
/// # Errors
/// See [`IndexError`].
pub fn read_sources(name: &str, input: impl BufRead) -> Result<Vec<SourcePackage>, IndexError> {
    const SOURCE_FIELDS: &[&str] = &["Package", "Version", "Directory", "Checksums-Sha256"];
    let mut found = Vec::new();
    for paragraph in Paragraphs::keeping(input, SOURCE_FIELDS) {
        let mut p = paragraph?;
        if p.get("Package") != Some(name) {
            continue;
        }
        let line = p.line;
        let malformed = || IndexError::Field {
            line,
            field: "Checksums-Sha256",
        };
        let directory = required(&mut p, "Directory")?;
        if !is_relative_path(&directory) {
            return Err(IndexError::Field {
                line,
                field: "Directory",
            });
        }
        let mut files = Vec::new();
        for row in p
            .get("Checksums-Sha256")
            .unwrap_or("")
            .lines()
            .filter(|row| !row.is_empty())
        {
            let [hash, size, file] = row.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(malformed());
            };
            if !is_sha256(hash) || !is_relative_path(file) || file.contains('/') {
                return Err(malformed());
            }
            files.push((
                file.to_owned(),
                hash.to_owned(),
                size.parse().map_err(|_| malformed())?,
            ));
        }
        found.push(SourcePackage {
            name: name.into(),
            version: version_of(&mut p)?,
            directory,
            files,
        });
    }
    found.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests;
