// SPDX-License-Identifier: MIT OR Apache-2.0

//! The download cache: verified files under the name of their SHA-256.
//!
//! ```text
//! by-hash/HASH        a complete file whose hash has been checked
//! partial/HASH.part   the beginning of a file
//! staging/            files on their way into the Nix store, under their store names
//! plans/              resolved application plans
//! lock                held (flock) by the process that downloads or imports
//! ```
//!
//! A file gets its name in `by-hash` by rename, after its hash was found right, so a process that is killed leaves no wrong
//! file under a right name. Nothing is flushed to the disk: should a power failure damage a file, Nix computes another store
//! path for it and the import drops it (see [`super::provide`]).

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::fetch::FetchError;
use super::progress::{Cancel, Progress};

/// The cache directory. See the module's documentation for what is in it.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Holds the cache's lock until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct CacheGuard {
    _file: File,
}

impl Cache {
    /// Opens (and creates) the cache in a directory.
    ///
    /// # Errors
    /// [`FetchError::File`] if it cannot be created.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, FetchError> {
        let cache = Self { root: root.into() };
        for name in ["by-hash", "partial", "staging", "plans"] {
            let directory = cache.root.join(name);
            fs::create_dir_all(&directory).map_err(|e| FetchError::file(&directory, e))?;
        }
        Ok(cache)
    }

    /// The directory to use when none is given: `$CKI_CACHE`, or `cki` below the XDG cache directory.
    ///
    /// # Errors
    /// [`FetchError::NoCacheDirectory`] if none of `CKI_CACHE`, `XDG_CACHE_HOME` and `HOME` is set.
    pub fn default_directory() -> Result<PathBuf, FetchError> {
        let variable = |name: &str| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        variable("CKI_CACHE")
            .or_else(|| {
                variable("XDG_CACHE_HOME")
                    .filter(|p| p.is_absolute())
                    .map(|p| p.join("cki"))
            })
            .or_else(|| variable("HOME").map(|p| p.join(".cache/cki")))
            .ok_or(FetchError::NoCacheDirectory)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the file with this hash is, or will be.
    #[must_use]
    pub fn by_hash(&self, sha256: &str) -> PathBuf {
        self.root.join("by-hash").join(sha256)
    }

    /// Where the beginning of the file with this hash is kept.
    #[must_use]
    pub fn partial(&self, sha256: &str) -> PathBuf {
        self.root.join("partial").join(format!("{sha256}.part"))
    }

    /// Whether the complete file is there. The size is compared as well: it costs nothing.
    #[must_use]
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        fs::metadata(self.by_hash(sha256)).is_ok_and(|m| m.is_file() && m.len() == size)
    }

    /// Where the plan with this key is kept.
    #[must_use]
    pub fn plan(&self, key: &str) -> PathBuf {
        self.root.join("plans").join(format!("{key}.json"))
    }

    /// A fresh directory for files on their way into the store, on the cache's file system so that hard links work.
    ///
    /// # Errors
    /// [`FetchError::File`].
    pub fn staging(&self) -> Result<tempfile::TempDir, FetchError> {
        let parent = self.root.join("staging");
        tempfile::tempdir_in(&parent).map_err(|e| FetchError::file(&parent, e))
    }

    /// Waits until no other process downloads or imports, and keeps them from it until the result is dropped. What a killed
    /// process left in `staging` is removed.
    ///
    /// # Errors
    /// [`FetchError::Interrupted`] while waiting; [`FetchError::File`].
    pub fn lock(&self, progress: &dyn Progress, cancel: &Cancel) -> Result<CacheGuard, FetchError> {
        let path = self.root.join("lock");
        let failed = |e| FetchError::file(&path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut told = false;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(failed(e.into())),
            }
            if !told {
                told = true;
                let mut holder = String::new();
                // The holder may not have written its number yet; the message is the only use of it.
                let _ = file
                    .rewind()
                    .and_then(|()| file.read_to_string(&mut holder));
                let holder = holder.trim();
                let who = if holder.is_empty() {
                    String::new()
                } else {
                    format!(" (process {holder})")
                };
                progress.note(&format!(
                    "waiting for another cki-build{who} that uses {}",
                    self.root.display()
                ));
            }
            cancel.sleep(Duration::from_millis(100))?;
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        self.sweep_staging().map_err(failed)?;
        Ok(CacheGuard { _file: file })
    }

    fn sweep_staging(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("staging"))? {
            fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }
}

/// Writes a file so that others see the old contents or the new ones, never a mixture.
///
/// # Errors
/// Those of the file system. The old contents are then unchanged.
pub fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(contents)?;
    // Temporary files are private; this one takes the place of an ordinary one.
    let mode = fs::metadata(path).map(|m| m.permissions());
    let mode = mode.unwrap_or(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc};

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Progress for Notes {
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
    }

    #[test]
    fn a_second_user_waits_for_the_first_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let guard = cache.lock(&Notes::default(), &Cancel::new()).unwrap();
        let (sender, receiver) = mpsc::channel();
        let other = cache.clone();
        let thread = std::thread::spawn(move || {
            let notes = Notes::default();
            let _guard = other.lock(&notes, &Cancel::new()).unwrap();
            sender.send(()).unwrap();
            notes.0.into_inner().unwrap()
        });
        assert!(
            receiver.recv_timeout(Duration::from_millis(300)).is_err(),
            "two held the lock"
        );
        drop(guard);
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        let notes = thread.join().unwrap();
        let me = format!("another cki-build (process {})", std::process::id());
        assert!(notes.len() == 1 && notes[0].contains(&me), "{notes:?}");
    }

    #[test]
    fn waiting_for_the_lock_can_be_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let _guard = cache.lock(&Notes::default(), &Cancel::new()).unwrap();
        let cancel = Cancel::new();
        cancel.set();
        assert!(matches!(
            cache.lock(&Notes::default(), &cancel),
            Err(FetchError::Interrupted)
        ));
    }

    #[test]
    fn what_a_killed_process_was_importing_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let left = dir.path().join("staging/left/a.deb");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, "x").unwrap();
        drop(cache.lock(&Notes::default(), &Cancel::new()).unwrap());
        assert!(!left.exists());
    }

    #[test]
    fn a_failed_write_leaves_the_old_contents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock.json");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write_atomically(&dir.path().join("absent/lock.json"), b"x").is_err());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "temporary files are removed"
        );
    }
}
