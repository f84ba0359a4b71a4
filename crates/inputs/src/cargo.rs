// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cargo.lock, and the crates' files in cargo's cache.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use cki_debian::index::is_sha256;
use cki_nix::path::store_name;
use cki_process::exec::{Command, ExecError};

/// A crate from a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the .crate file (a gzipped tar archive).
    pub sha256: String,
}

impl Crate {
    /// The file's name in cargo's cache.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}.crate", self.name, self.version)
    }

    /// The file's name in the store: `crate-NAME-VERSION.tar.gz`, with `_` for the `+` that a version may have.
    #[must_use]
    pub fn store_name(&self) -> String {
        store_name(&format!("crate-{}-{}.tar.gz", self.name, self.version))
    }
}

/// Why the crates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CargoError {
    /// Cargo.lock cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// Cargo.lock is not what cargo writes.
    #[error("{path}: {problem}; restore it from version control or run `cargo generate-lockfile`")]
    LockFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// cargo cannot be started.
    #[error("{0}; install Rust, or set CARGO to the program's path")]
    NoCargo(ExecError),
    /// cargo failed.
    #[error("`{command}` failed; see its message: {message}")]
    Cargo {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// cargo said that all is there, but it is not.
    #[error(
        "cargo has not put {file} into its cache below {cache}; is CARGO_HOME another one for cargo?"
    )]
    Absent {
        /// The crate's file.
        file: String,
        /// The cache directory.
        cache: PathBuf,
    },
    /// A file in cargo's cache does not have the hash that Cargo.lock names.
    #[error(
        "{path} has the SHA-256 {found}, but Cargo.lock wants {expected}; delete that file and run the command again"
    )]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// The hash in Cargo.lock.
        expected: String,
        /// The file's hash.
        found: String,
    },
}

/// How to call cargo and where its files are.
#[derive(Debug, Clone)]
pub struct Cargo {
    /// The program.
    pub program: PathBuf,
    /// `$CARGO_HOME`.
    pub home: PathBuf,
}

impl Default for Cargo {
    /// As the environment says: `CARGO` (set by cargo for what it runs) and `CARGO_HOME`.
    fn default() -> Self {
        let variable = |name: &str| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let home = variable("CARGO_HOME").or_else(|| variable("HOME").map(|p| p.join(".cargo")));
        Self {
            program: variable("CARGO").unwrap_or_else(|| "cargo".into()),
            home: home.unwrap_or_default(),
        }
    }
}

impl Cargo {
    /// The command that makes cargo download everything in the Cargo.lock beside a manifest, and change nothing.
    #[must_use]
    pub fn fetch_command(&self, manifest: &Path) -> Command {
        Command::new(&self.program)
            .args(["fetch", "--locked", "--manifest-path"])
            .arg(manifest)
    }

    /// Files of that name in cargo's cache; there is a directory for each registry.
    #[must_use]
    pub fn files(&self, file: &str) -> Vec<PathBuf> {
        let registries = fs::read_dir(self.cache()).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = registries
            .map(|e| e.path().join(file))
            .filter(|p| p.is_file())
            .collect();
        found.sort();
        found
    }

    fn cache(&self) -> PathBuf {
        self.home.join("registry/cache")
    }
}

#[derive(Deserialize)]
struct CargoLock {
    #[serde(default)]
    package: Vec<CargoLockPackage>,
}

#[derive(Deserialize)]
struct CargoLockPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// The registry crates of a Cargo.lock. Packages of the workspace itself have no source and are left out.
///
/// # Errors
/// [`CargoError::Read`] and [`CargoError::LockFile`]; crates from git repositories are refused, as nothing pins their
/// bytes.
pub fn read_cargo_lock(path: &Path) -> Result<Vec<Crate>, CargoError> {
    let text = fs::read_to_string(path).map_err(|cause| CargoError::Read {
        path: path.into(),
        cause,
    })?;
    let refuse = |problem: String| CargoError::LockFile {
        path: path.into(),
        problem,
    };
    let lock: CargoLock = toml::from_str(&text).map_err(|e| refuse(e.message().to_owned()))?;
    let mut crates = Vec::new();
    for package in lock.package {
        let Some(source) = package.source else {
            continue;
        };
        let name = format!("{} {}", package.name, package.version);
        // Both become parts of file names.
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "_-.+".contains(c));
        if name.replace(' ', "").contains(odd) {
            return Err(refuse(format!("{name} is no name and version of a crate")));
        }
        if !source.starts_with("registry+") && !source.starts_with("sparse+") {
            return Err(refuse(format!("{name} is not from a registry")));
        }
        let sha256 = package
            .checksum
            .filter(|c| is_sha256(c))
            .ok_or_else(|| refuse(format!("{name} has no checksum")))?;
        crates.push(Crate {
            name: package.name,
            version: package.version,
            sha256,
        });
    }
    crates.sort();
    Ok(crates)
}

impl Cargo {
    /// Makes cargo download everything in the Cargo.lock beside a manifest.
    ///
    /// # Errors
    /// [`CargoError::NoCargo`] and [`CargoError::Cargo`].
    pub fn fetch(&self, manifest: &Path) -> Result<(), CargoError> {
        let command = self.fetch_command(manifest);
        let output = command.output().map_err(CargoError::NoCargo)?;
        if output.status.success() {
            return Ok(());
        }
        Err(CargoError::Cargo {
            command: command.argv().join(" "),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Whether a file of the crate's name is in cargo's cache.
    #[must_use]
    pub fn has(&self, wanted: &Crate) -> bool {
        !self.files(&wanted.file_name()).is_empty()
    }

    /// The crate's file in cargo's cache, with the right hash.
    ///
    /// # Errors
    /// [`CargoError::Absent`], [`CargoError::WrongHash`] and [`CargoError::Read`].
    pub fn verified(&self, wanted: &Crate) -> Result<PathBuf, CargoError> {
        let file = wanted.file_name();
        let mut wrong = None;
        for path in self.files(&file) {
            let mut hash = Sha256::new();
            File::open(&path)
                .and_then(|mut f| io::copy(&mut f, &mut hash))
                .map_err(|cause| CargoError::Read {
                    path: path.clone(),
                    cause,
                })?;
            let found = format!("{:x}", hash.finalize());
            if found == wanted.sha256 {
                return Ok(path);
            }
            wrong = Some(CargoError::WrongHash {
                path,
                expected: wanted.sha256.clone(),
                found,
            });
        }
        Err(wrong.unwrap_or_else(|| CargoError::Absent {
            file,
            cache: self.cache(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(text: &str) -> Result<Vec<Crate>, CargoError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Cargo.lock");
        fs::write(&path, text).unwrap();
        read_cargo_lock(&path)
    }

    fn package(source: &str, checksum: &str) -> String {
        format!(
            "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"a\"\n\
             version = \"1.0.0+x\"\n{source}\n{checksum}\n"
        )
    }

    #[test]
    fn registry_crates_are_listed_with_their_store_names() {
        let crates = lock(&package(
            "source = \"registry+https://registry.example.org\"",
            &format!("checksum = \"{}\"", "0".repeat(64)),
        ))
        .unwrap();
        assert_eq!(crates.len(), 1);
        assert_eq!(crates[0].file_name(), "a-1.0.0+x.crate");
        assert_eq!(crates[0].store_name(), "crate-a-1.0.0_x.tar.gz");
    }

    #[test]
    fn crates_that_nothing_pins_are_refused() {
        let checksum = format!("checksum = \"{}\"", "0".repeat(64));
        let git = lock(&package(
            "source = \"git+https://example.org/a\"",
            &checksum,
        ))
        .unwrap_err();
        assert!(
            git.to_string().contains("a 1.0.0+x is not from a registry"),
            "{git}"
        );
        let text = package(
            "source = \"registry+https://registry.example.org\"",
            &format!("checksum = \"{}\"", "0".repeat(64)),
        );
        let error = lock(&text.replace("1.0.0+x", "../1.0.0")).unwrap_err();
        assert!(error.to_string().contains("no name and version"), "{error}");
        for checksum in ["", "checksum = \"00\""] {
            let error = lock(&package(
                "source = \"registry+https://registry.example.org\"",
                checksum,
            ))
            .unwrap_err();
            assert!(error.to_string().contains("has no checksum"), "{error}");
        }
        assert!(matches!(
            lock("package = 3"),
            Err(CargoError::LockFile { .. })
        ));
    }

    #[test]
    fn cargo_is_told_to_change_nothing() {
        let cargo = Cargo {
            program: "cargo".into(),
            home: "/c".into(),
        };
        let command = cargo.fetch_command(Path::new("/p/Cargo.toml"));
        assert_eq!(
            command.argv(),
            [
                "cargo",
                "fetch",
                "--locked",
                "--manifest-path",
                "/p/Cargo.toml"
            ]
        );
    }

    #[test]
    fn a_crate_is_taken_from_whichever_registry_has_the_right_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let cargo = Cargo {
            program: "cargo".into(),
            home: dir.path().into(),
        };
        let good = Crate {
            name: "a".into(),
            version: "1.0.0".into(),
            sha256: format!("{:x}", Sha256::digest("good")),
        };
        assert!(matches!(
            cargo.verified(&good),
            Err(CargoError::Absent { .. })
        ));
        for (registry, contents) in [("one-1", "bad"), ("two-2", "good")] {
            let directory = cargo.cache().join(registry);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("a-1.0.0.crate"), contents).unwrap();
        }
        assert!(
            cargo
                .verified(&good)
                .unwrap()
                .ends_with("two-2/a-1.0.0.crate")
        );
        let other = Crate {
            sha256: "0".repeat(64),
            ..good
        };
        let error = cargo.verified(&other).unwrap_err();
        assert!(
            matches!(error, CargoError::WrongHash { .. })
                && error.to_string().contains("delete that file")
        );
    }
}
