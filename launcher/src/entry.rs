// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers that run under a name: a directory each, which their launcher holds locked while it lives.
//!
//! | file | what |
//! |---|---|
//! | `lock` | locked by the launcher; whoever gets the lock sees that it has gone |
//! | `state.json` | [`State`] |
//! | `vsock` | the container's sockets ([`crate::backend::unix_sockets`]) |
//!
//! What a launcher that was killed has left is removed by whoever sees it next. Whoever takes a name or looks whether
//! a launcher lives holds a lock on the directory of all of them for that moment, so that nobody locks a file that
//! another is removing.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{Memory, Process};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Where the directories are.
pub const DIRECTORY: &str = "/run/cki";

/// How long others may take a name or look at one; each needs a few system calls.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// What is known of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Process of its launcher.
    pub pid: i32,
    /// Its memory.
    pub memory: Memory,
    /// Its program.
    pub process: Process,
}

/// Why there is no such container, or can be none.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A name that cannot be a directory's.
    #[error(
        "{0:?} is no name of a container: expected 1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit first"
    )]
    Name(String),
    /// It runs already.
    #[error("a container called {0} is running; choose another name")]
    Taken(String),
    /// None runs under this name.
    #[error("no container called {0} is running; `list` shows those that are")]
    Missing(String),
    /// Somebody else does not get on.
    #[error("{} is locked by another `cki`, for {} seconds by now", .0.display(), BUSY_LIMIT.as_secs())]
    Busy(PathBuf),
    /// The directory cannot be used.
    #[error("{}", .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The containers below a directory.
#[derive(Debug, Clone)]
pub struct Entries(PathBuf);

/// A container's place, held by its launcher.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Default for Entries {
    fn default() -> Self {
        Entries(PathBuf::from(DIRECTORY))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> EntryError {
    move |source| EntryError::Io {
        path: path.to_owned(),
        source,
    }
}

impl Entries {
    /// Those below `path`.
    #[must_use]
    pub fn below(path: &Path) -> Self {
        Entries(path.to_owned())
    }

    fn path(&self, name: &str) -> Result<PathBuf, EntryError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || name.len() > 64 || !name.chars().all(plain) {
            return Err(EntryError::Name(name.to_owned()));
        }
        Ok(self.0.join(name))
    }

    /// Keeps others from taking names and looking at them, until it is dropped. Waits so long for those who do.
    fn lock(&self, limit: Duration) -> Result<Flock<File>, EntryError> {
        let start = Instant::now();
        let mut directory = File::open(&self.0).map_err(failed(&self.0))?;
        loop {
            match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => return Ok(locked),
                Err((_, Errno::EWOULDBLOCK)) if start.elapsed() >= limit => {
                    return Err(EntryError::Busy(self.0.clone()));
                }
                Err((unlocked, Errno::EWOULDBLOCK | Errno::EINTR)) => directory = unlocked,
                Err((_, error)) => return Err(failed(&self.0)(error.into())),
            }
            thread::sleep(PAUSE);
        }
    }

    /// Takes a name for a container, which this process runs.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn take(&self, state: &State) -> Result<Entry, EntryError> {
        let path = self.path(&state.name)?;
        let create = |path: &Path| {
            let mut builder = DirBuilder::new();
            let created = builder.recursive(true).mode(0o700).create(path);
            created.map_err(failed(path))
        };
        create(&self.0)?;
        let _all = self.lock(BUSY_LIMIT)?;
        create(&path)?;
        let lock = match try_lock(&path)? {
            Some(lock) => lock,
            None => return Err(EntryError::Taken(state.name.clone())),
        };
        let text = serde_json::to_vec(state).map_err(io::Error::from);
        let file = path.join("state.json");
        // Whole or not there: others may be reading.
        let new = path.join("state.new");
        text.and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &file))
            .map_err(failed(&file))?;
        Ok(Entry { path, _lock: lock })
    }

    /// The running container of a name.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn find(&self, name: &str) -> Result<State, EntryError> {
        let path = self.path(name)?;
        self.look(&path)?
            .ok_or_else(|| EntryError::Missing(name.to_owned()))
    }

    /// All that run, by name.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn all(&self) -> Result<Vec<State>, EntryError> {
        let directories = match fs::read_dir(&self.0) {
            Ok(directories) => directories,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.0)(error)),
        };
        let mut states = Vec::new();
        for directory in directories {
            let directory = directory.map_err(failed(&self.0))?;
            states.extend(self.look(&directory.path())?);
        }
        states.sort_by(|a: &State, b| a.name.cmp(&b.name));
        Ok(states)
    }

    /// Who listens for connections to a container.
    #[must_use]
    pub fn sockets(&self, state: &State) -> PathBuf {
        self.0.join(&state.name).join("vsock")
    }

    /// The container of a directory, unless its launcher has gone; what that left is removed then.
    fn look(&self, path: &Path) -> Result<Option<State>, EntryError> {
        let _all = match self.lock(BUSY_LIMIT) {
            Err(EntryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            locked => locked?,
        };
        match try_lock(path) {
            Ok(None) => {}
            Ok(Some(_)) => {
                fs::remove_dir_all(path).map_err(failed(path))?;
                return Ok(None);
            }
            Err(EntryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let file = path.join("state.json");
        match fs::read(&file) {
            // One that has its name and is about to say more does not run yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&file)(error)),
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| failed(&file)(error.into())),
        }
    }
}

/// The lock of a container's directory, unless somebody has it.
fn try_lock(path: &Path) -> Result<Option<Flock<File>>, EntryError> {
    let lock = path.join("lock");
    let mut options = File::options();
    // Not truncated: there is nothing in it.
    let file = options.write(true).create(true).truncate(false).open(&lock);
    match Flock::lock(
        file.map_err(failed(&lock))?,
        FlockArg::LockExclusiveNonblock,
    ) {
        Ok(locked) => Ok(Some(locked)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(failed(&lock)(error.into())),
    }
}

impl Entry {
    /// Where the container's sockets are to be.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.path.join("vsock")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn state(name: &str) -> State {
        State {
            name: name.to_owned(),
            pid: 7,
            memory: Memory::constant(64),
            process: Process::new(["true"]),
        }
    }

    #[test]
    fn a_container_is_found_while_its_launcher_lives_and_removed_after() {
        let directory = tempfile::tempdir().unwrap();
        let entries = Entries::below(&directory.path().join("cki"));
        assert_eq!(entries.all().unwrap(), []);
        let (b, a) = (
            entries.take(&state("b")).unwrap(),
            entries.take(&state("a")).unwrap(),
        );
        assert_eq!(entries.all().unwrap(), [state("a"), state("b")]);
        assert_eq!(entries.find("a").unwrap(), state("a"));
        assert!(matches!(
            entries.take(&state("a")),
            Err(EntryError::Taken(_))
        ));
        assert!(a.sockets().starts_with(directory.path()));
        drop(b);
        let error = entries.find("b").unwrap_err().to_string();
        assert!(error.contains("no container called b"), "{error}");
        assert_eq!(entries.all().unwrap(), [state("a")]);
        assert!(!directory.path().join("cki/b").exists());
        drop(a);
        // A name can be used again, whoever left it.
        let _a = entries.take(&state("a")).unwrap();
        assert_eq!(entries.all().unwrap().len(), 1);
    }

    #[test]
    fn of_many_who_take_and_look_at_once_one_has_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let entries = Entries::below(directory.path());
        let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stop = Instant::now() + Duration::from_millis(500);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while Instant::now() < stop {
                        match entries.take(&state("a")) {
                            Ok(entry) => {
                                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                                // It is there for as long as it is held, whoever looks.
                                assert_eq!(entries.find("a").unwrap(), state("a"));
                                taken.fetch_add(1, Ordering::SeqCst);
                                holders.fetch_sub(1, Ordering::SeqCst);
                                drop(entry);
                            }
                            Err(EntryError::Taken(_)) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
                scope.spawn(|| {
                    while Instant::now() < stop {
                        assert!(entries.all().unwrap().len() <= 1);
                    }
                });
            }
        });
        assert!(taken.into_inner() > 1, "nobody ever had it");
    }

    #[test]
    fn nobody_who_holds_the_lock_of_all_is_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let entries = Entries::below(directory.path());
        let soon = Duration::from_millis(50);
        let held = entries.lock(soon).unwrap();
        let error = entries.lock(soon).unwrap_err();
        assert!(matches!(error, EntryError::Busy(_)), "{error:?}");
        drop(held);
        entries.take(&state("a")).unwrap();
    }

    #[test]
    fn a_name_leads_out_of_no_directory() {
        let directory = tempfile::tempdir().unwrap();
        let entries = Entries::below(directory.path());
        for name in ["", ".", "..", "../a", "a/b", "-a", "a b", &"a".repeat(65)] {
            assert!(
                matches!(entries.find(name), Err(EntryError::Name(_))),
                "{name}"
            );
            assert!(entries.take(&state(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
