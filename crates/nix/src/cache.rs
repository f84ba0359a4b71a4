// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cache directory: roots that keep results from garbage collection, and remembered evaluations.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::eval::Target;
use cki_process::files::write_atomically;

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// No directory was given and there is none to derive one from.
    #[error("neither HOME nor XDG_CACHE_HOME is set; name a directory with --cache DIR")]
    NoHome,
    /// Something else than a directory has that name.
    #[error("{0} is not a directory; name another one with --cache DIR or CKI_CACHE")]
    NotADirectory(PathBuf),
    /// A file of it could not be read or written.
    #[error("{path}: {source}{}", remedy(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What to do where nothing can be written.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; name a directory that you can write with --cache DIR or CKI_CACHE"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space there (`cki-build prune`), or name another directory with --cache DIR or CKI_CACHE"
        }
        ErrorKind::NotFound => "; name another directory with --cache DIR or CKI_CACHE",
        _ => "",
    }
}

/// The cache directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache in `dir`, or in the user's place for caches; made when it is not there.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(dir: Option<&Path>) -> Result<Self, CacheError> {
        let set = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                // Relative ones are to be ignored (XDG Base Directory Specification): they would be elsewhere for each
                // directory that a command is given in.
                .filter(|path| path.is_absolute())
        };
        let dir = match dir {
            Some(dir) => dir.to_owned(),
            None => set("XDG_CACHE_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".cache")))
                .ok_or(CacheError::NoHome)?
                .join("cki"),
        };
        let io = |source: std::io::Error| match source.kind() {
            // That is how the kernel says that something else has the name.
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                CacheError::NotADirectory(dir.clone())
            }
            _ => CacheError::Io {
                path: dir.clone(),
                source,
            },
        };
        std::fs::create_dir_all(&dir).map_err(io)?;
        // Nix wants roots as absolute paths.
        let dir = dir.canonicalize().map_err(io)?;
        Ok(Self { dir })
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Directory of the links that keep results.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        self.dir.join("roots")
    }

    /// Key for results that depend on `parts` and nothing else.
    #[must_use]
    pub fn key(parts: &[&str]) -> String {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        format!("{:x}", digest.finalize())
    }

    /// Targets remembered under `key`, when all their outputs still exist.
    #[must_use]
    pub fn targets(&self, key: &str) -> Option<BTreeMap<String, Target>> {
        let text = std::fs::read(self.evaluation(key)).ok()?;
        let targets: BTreeMap<String, Target> = serde_json::from_slice(&text).ok()?;
        targets
            .values()
            .all(|target| target.out.exists())
            .then_some(targets)
    }

    /// Remembers targets whose outputs have been built.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn remember(
        &self,
        key: &str,
        targets: &BTreeMap<String, Target>,
    ) -> Result<(), CacheError> {
        let path = self.evaluation(key);
        let io = |source| CacheError::Io {
            path: path.clone(),
            source,
        };
        let dir = self.dir.join("evaluations");
        std::fs::create_dir_all(&dir).map_err(io)?;
        let text = serde_json::to_vec(targets).map_err(|error| io(error.into()))?;
        write_atomically(&path, &text).map_err(io)
    }

    /// A fresh directory that goes when the result is dropped, or, should we be killed, with the next call.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn scratch(&self) -> Result<Scratch, CacheError> {
        let parent = self.dir.join("scratch");
        let io = |source: std::io::Error| CacheError::Io {
            path: parent.clone(),
            source,
        };
        std::fs::create_dir_all(&parent).map_err(io)?;
        // Between making a directory and locking it, nobody else may take it for a dead one's.
        let gate = private_file(&self.dir.join("scratch.lock")).map_err(io)?;
        flock(&gate, FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
        for entry in std::fs::read_dir(&parent).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let Ok(dir) = File::open(&path) else { continue };
            if flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
                cki_process::files::sweep(&path);
            }
        }
        let dir = tempfile::tempdir_in(&parent).map_err(io)?;
        let lock = File::open(dir.path()).map_err(io)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
        Ok(Scratch { dir, _lock: lock })
    }

    fn evaluation(&self, key: &str) -> PathBuf {
        self.dir.join("evaluations").join(format!("{key}.json"))
    }
}

/// A file that nobody else can open: who can may lock it, and keep others waiting.
fn private_file(path: &Path) -> std::io::Result<File> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // It may be of an earlier version.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A directory that goes when this is dropped. The kernel releases its lock when we end in any way.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    _lock: File,
}

/// How often a directory is removed, and how long between two attempts: processes that were killed may still
/// write there for a moment.
const ATTEMPTS: usize = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Drop for Scratch {
    fn drop(&mut self) {
        for _ in 0..ATTEMPTS {
            match std::fs::remove_dir_all(self.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::debug!(%error, path = %self.path().display(), "not removed");
                }
                _ => break,
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Scratch {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The cache that it is in.
    #[must_use]
    pub fn cache(&self) -> &Path {
        // CACHE/scratch/NAME
        self.path().ancestors().nth(2).unwrap_or(self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_of_a_dead_process_is_swept_and_a_living_ones_is_not() {
        let (_dir, cache) = cache();
        let living = cache.scratch().expect("made");
        let dead = living.path().with_file_name("dead");
        std::fs::create_dir_all(dead.join("below")).expect("created");
        let second = cache.scratch().expect("made");
        assert!(!dead.exists());
        assert!(living.path().exists() && second.path().exists());
        assert_eq!(living.cache(), cache.dir());
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_among_the_scratch_directories_is_nobodys_error() {
        let (_dir, cache) = cache();
        drop(cache.scratch().expect("made"));
        let left = cache.dir().join("scratch/left");
        std::fs::write(&left, "").expect("written");
        assert!(cache.scratch().expect("made").path().exists());
        assert!(!left.exists());
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(Some(&dir.path().join("new/cache"))).expect("made");
        (dir, cache)
    }

    #[test]
    fn a_cache_that_is_no_directory_is_called_that() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");
        for path in [file.clone(), file.join("below"), "/dev/null".into()] {
            let error = Cache::open(Some(&path)).expect_err("no directory");
            assert!(error.to_string().contains("is not a directory"), "{error}");
        }
    }

    fn target(out: &Path) -> BTreeMap<String, Target> {
        let target = Target {
            drv: "/x.drv".into(),
            out: out.to_owned(),
        };
        BTreeMap::from([("cki-host".to_owned(), target)])
    }

    #[test]
    fn targets_are_remembered_while_their_outputs_exist() {
        let (dir, cache) = cache();
        let out = dir.path().join("out");
        std::fs::write(&out, "").expect("written");
        cache.remember("k", &target(&out)).expect("written");
        assert_eq!(cache.targets("k"), Some(target(&out)));
        assert_eq!(cache.targets("other"), None);
        std::fs::remove_file(&out).expect("removed");
        assert_eq!(cache.targets("k"), None, "collected in the meantime");
    }

    #[test]
    fn a_damaged_memory_is_no_memory() {
        let (dir, cache) = cache();
        cache.remember("k", &target(dir.path())).expect("written");
        std::fs::write(cache.evaluation("k"), "{\"cki-ho").expect("written");
        assert_eq!(cache.targets("k"), None);
    }

    #[test]
    fn keys_depend_on_the_parts_and_where_they_are_cut() {
        assert_ne!(Cache::key(&["ab", "c"]), Cache::key(&["a", "bc"]));
        assert_eq!(Cache::key(&["a"]), Cache::key(&["a"]));
    }
}
