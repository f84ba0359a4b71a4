// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list of all that a release has: its outputs, and every file with its hash. What is signed is this list.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::subject::{Output, Subject};

/// The list's name in the directory of a release.
pub const MANIFEST: &str = "manifest.json";

/// The name of its signature.
pub const SIGNATURE: &str = "manifest.json.sig";

/// The contents of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the form of this file; 1.
    pub version: u32,
    /// Version of the product.
    pub release: String,
    /// The commit.
    pub commit: String,
    /// The commit's time.
    pub time: String,
    /// Who has built, as the provenance says.
    pub builder: String,
    /// The outputs.
    pub outputs: Vec<Output>,
    /// All files but this one and its signature, by their path below the directory.
    pub files: BTreeMap<String, Entry>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// Why a list cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// It is no such list.
    #[error("{path} is no list of a release: {cause}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: serde_json::Error,
    },
    /// There is something else than files and directories.
    #[error("{0} is neither a file of usual size nor a directory; a release has nothing else")]
    Odd(PathBuf),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ManifestError + '_ {
    move |cause| ManifestError::File {
        path: path.into(),
        cause,
    }
}

/// The version of the format.
pub const VERSION: u32 = 1;

/// Bytes of the list and of its signature at most.
const SIZE_MAX: u64 = 64 << 20;

/// Looks at the list and its signature before anything reads them: a link, a pipe or a device is read without an end.
/// What is not there is not said here.
///
/// # Errors
/// [`ManifestError::Odd`].
pub fn look_at(directory: &Path) -> Result<(), ManifestError> {
    for name in [MANIFEST, SIGNATURE] {
        let path = directory.join(name);
        let found = fs::symlink_metadata(&path);
        if found.is_ok_and(|found| !found.is_file() || found.len() > SIZE_MAX) {
            return Err(ManifestError::Odd(path));
        }
    }
    Ok(())
}

impl Manifest {
    /// The list of what is in `directory` now.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn of(subject: &Subject, builder: &str, directory: &Path) -> Result<Self, ManifestError> {
        Ok(Self {
            version: VERSION,
            release: subject.version.clone(),
            commit: subject.commit.clone(),
            time: subject.time.clone(),
            builder: builder.into(),
            outputs: subject.outputs.clone(),
            files: entries(directory)?,
        })
    }

    /// Reads the list of `directory`. Whether it is to be believed, its signature tells.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(directory: &Path) -> Result<Self, ManifestError> {
        let path = directory.join(MANIFEST);
        let text = fs::read(&path).map_err(failed(&path))?;
        serde_json::from_slice(&text).map_err(|cause| ManifestError::Damaged { path, cause })
    }

    /// The file's contents, with a newline at the end.
    ///
    /// # Panics
    /// Never: strings and numbers can be written as JSON.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("strings and numbers can be written as JSON") + "\n"
    }

    /// What was released.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            version: self.release.clone(),
            commit: self.commit.clone(),
            time: self.time.clone(),
            outputs: self.outputs.clone(),
        }
    }

    /// Compares with what is in `directory`: one sentence for each file that is not as it was, not there, or not
    /// listed.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn differences(&self, directory: &Path) -> Result<Vec<String>, ManifestError> {
        let found = entries(directory)?;
        let mut differences = Vec::new();
        for (path, entry) in &self.files {
            match found.get(path) {
                None => differences.push(format!("{path} is not there")),
                Some(found) if found != entry => differences.push(format!(
                    "{path} was changed: SHA-256 {} and {} bytes instead of {} and {}",
                    found.sha256, found.size, entry.sha256, entry.size
                )),
                Some(_) => {}
            }
        }
        for path in found.keys().filter(|path| !self.files.contains_key(*path)) {
            differences.push(format!("{path} is not listed"));
        }
        Ok(differences)
    }
}

/// All files below `directory` but the list and its signature.
fn entries(directory: &Path) -> Result<BTreeMap<String, Entry>, ManifestError> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).map_err(failed(&dir))? {
            let path = entry.map_err(failed(&dir))?.path();
            let kind = fs::symlink_metadata(&path)
                .map_err(failed(&path))?
                .file_type();
            let relative = path.strip_prefix(directory).unwrap_or(&path);
            let Some(name) = relative.to_str() else {
                return Err(ManifestError::Odd(path));
            };
            if kind.is_dir() {
                todo.push(path);
            } else if !kind.is_file() {
                return Err(ManifestError::Odd(path));
            } else if name != MANIFEST && name != SIGNATURE {
                let entry = entry_of(&path).map_err(failed(&path))?;
                found.insert(name.to_owned(), entry);
            }
        }
    }
    Ok(found)
}

fn entry_of(path: &Path) -> io::Result<Entry> {
    let mut hash = Sha256::new();
    let size = io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(Entry {
        sha256: format!("{:x}", hash.finalize()),
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            version: "0.1.0".into(),
            commit: "c0ffee".into(),
            time: "2026-07-11T10:16:37Z".into(),
            outputs: Vec::new(),
        }
    }

    #[test]
    fn each_changed_byte_missing_and_added_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("nar")).unwrap();
        for name in ["a", "nar/b", MANIFEST, SIGNATURE] {
            fs::write(at(name), name).unwrap();
        }
        let list = Manifest::of(&subject(), "urn:x", dir.path()).unwrap();
        assert_eq!(list.files.keys().collect::<Vec<_>>(), ["a", "nar/b"]);
        assert!(list.differences(dir.path()).unwrap().is_empty());
        fs::write(at(MANIFEST), list.to_text()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), list);
        assert_eq!(list.subject(), subject());
        fs::write(at("nar/b"), "nar/c").unwrap();
        let changed = list.differences(dir.path()).unwrap();
        assert!(
            changed.len() == 1 && changed[0].starts_with("nar/b was changed"),
            "{changed:?}"
        );
        fs::remove_file(at("nar/b")).unwrap();
        fs::write(at("more"), "").unwrap();
        assert_eq!(
            list.differences(dir.path()).unwrap(),
            ["nar/b is not there", "more is not listed"]
        );
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        assert!(matches!(
            list.differences(dir.path()),
            Err(ManifestError::Odd(_))
        ));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Manifest::read(dir.path()),
            Err(ManifestError::File { .. })
        ));
        fs::write(dir.path().join(MANIFEST), "{}").unwrap();
        assert!(matches!(
            Manifest::read(dir.path()),
            Err(ManifestError::Damaged { .. })
        ));
    }

    #[test]
    fn what_is_read_without_an_end_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        look_at(dir.path()).unwrap();
        for name in [MANIFEST, SIGNATURE] {
            let path = dir.path().join(name);
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            assert!(matches!(look_at(dir.path()), Err(ManifestError::Odd(_))));
            fs::remove_file(&path).unwrap();
            let file = File::create(&path).unwrap();
            file.set_len(SIZE_MAX).unwrap();
            look_at(dir.path()).unwrap();
            file.set_len(SIZE_MAX + 1).unwrap();
            assert!(matches!(look_at(dir.path()), Err(ManifestError::Odd(_))));
            fs::remove_file(&path).unwrap();
        }
    }
}
