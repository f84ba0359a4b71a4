// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was downloaded: verified files under the name of their SHA-256.
//!
//! ```text
//! by-hash/HASH        a complete file whose hash has been checked
//! partial/HASH.part   the beginning of a file
//! staging/            files on their way into the Nix store, under their store names
//! plans/              resolved application plans
//! updates/            what the archive said last of security updates
//! lock                held (flock) by the process that downloads or imports
//! ```
//!
//! A file gets its name in `by-hash` by rename, after its hash was found right, so a process that is killed leaves no
//! wrong file under a right name. Nothing is flushed to the disk: should a power failure damage a file, Nix computes
//! another store path for it and the import drops it (see [`crate::provide`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::fetch_error::FetchError;
use crate::shown::Shown;
use cki_process::cancel::Cancel;

/// The directory of downloads. See the module's documentation for what is in it.
#[derive(Debug, Clone)]
pub struct Downloads {
    root: PathBuf,
}

/// Holds the directory's lock until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

impl Downloads {
    /// Opens (and creates) the parts of a cache directory that are for downloads.
    ///
    /// # Errors
    /// [`FetchError::File`] if it cannot be created.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, FetchError> {
        let cache = Self { root: root.into() };
        for name in ["by-hash", "partial", "staging", "plans", "updates"] {
            let directory = cache.root.join(name);
            fs::create_dir_all(&directory).map_err(|e| FetchError::file(&directory, e))?;
        }
        Ok(cache)
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

    /// Whether `path` is that of a complete file in here.
    #[must_use]
    pub fn is_ours(&self, path: &Path) -> bool {
        path.parent() == Some(&self.root.join("by-hash"))
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

    /// Where is kept what the archive said last of a suite of security updates.
    #[must_use]
    pub fn updates(&self, suite: &str) -> PathBuf {
        self.root.join("updates").join(format!("{suite}.json"))
    }

    /// A fresh directory for files on their way into the store, on the cache's file system so that hard links work.
    ///
    /// # Errors
    /// [`FetchError::File`].
    pub fn staging(&self) -> Result<tempfile::TempDir, FetchError> {
        let parent = self.root.join("staging");
        tempfile::tempdir_in(&parent).map_err(|e| FetchError::file(&parent, e))
    }

    /// Whether another process downloads or imports now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let file = File::open(self.root.join("lock"));
        let free = |file: File| flock(&file, FlockOperation::NonBlockingLockShared);
        file.is_ok_and(|file| free(file) == Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Waits until no other process downloads or imports, and keeps them from it until the result is dropped. What a
    /// killed process left in `staging` is removed, as far as that can be.
    ///
    /// # Errors
    /// [`FetchError::Interrupted`] while waiting; [`FetchError::File`].
    pub fn lock(&self, shown: &Shown, cancel: &Cancel) -> Result<Guard, FetchError> {
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
                shown.note(&format!(
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
        Ok(Guard { _file: file })
    }

    fn sweep_staging(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("staging"))? {
            cki_process::files::sweep(&entry?.path());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_process::progress::Step;
    use std::sync::{Arc, Mutex, mpsc};

    /// Keeps the lines that it is shown.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn quiet() -> Shown {
        Shown::new(Step::to(io::sink()))
    }

    #[test]
    fn a_second_user_waits_for_the_first_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Downloads::open(dir.path()).unwrap();
        let guard = cache.lock(&quiet(), &Cancel::new()).unwrap();
        let (sender, receiver) = mpsc::channel();
        let other = cache.clone();
        let thread = std::thread::spawn(move || {
            let lines = Lines::default();
            let shown = Shown::new(Step::to(lines.clone()));
            let _guard = other.lock(&shown, &Cancel::new()).unwrap();
            sender.send(()).unwrap();
            String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
        });
        assert!(
            receiver.recv_timeout(Duration::from_millis(300)).is_err(),
            "two held the lock"
        );
        drop(guard);
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        let notes = thread.join().unwrap();
        let me = format!("another cki-build (process {})", std::process::id());
        assert!(notes.lines().count() == 1 && notes.contains(&me), "{notes}");
    }

    #[test]
    fn waiting_for_the_lock_can_be_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Downloads::open(dir.path()).unwrap();
        let _guard = cache.lock(&quiet(), &Cancel::new()).unwrap();
        let cancel = Cancel::new();
        cancel.set();
        assert!(matches!(
            cache.lock(&quiet(), &cancel),
            Err(FetchError::Interrupted(_))
        ));
    }

    #[test]
    fn what_a_killed_process_was_importing_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Downloads::open(dir.path()).unwrap();
        let left = dir.path().join("staging/left/a.deb");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, "x").unwrap();
        let file = dir.path().join("staging/file");
        fs::write(&file, "x").unwrap();
        drop(cache.lock(&quiet(), &Cancel::new()).unwrap());
        assert!(!left.exists() && !file.exists());
    }
}
