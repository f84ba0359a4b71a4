// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers that run under a name: a directory each, which their launcher holds locked while it lives.
//!
//! | file | what |
//! |---|---|
//! | `lock` | locked by the launcher; whoever gets the lock sees that it has gone |
//! | `state.json` | [`State`]; `state.new` until it is whole |
//! | `vsock` | the container's sockets ([`crate::backend::unix_sockets`]) |
//! | `stats` | the socket of its counts ([`crate::session::observer`]) |
//!
//! What a launcher has left that had begun to write its state is removed by whoever looks for it next, `state.json`
//! with the program's variables too; until then only its user can read that. Of one that was killed just before, or
//! while it removed another's, a directory may stay with nothing in it but a lock, which the next of that name takes. A
//! lock counts only while its file is still that of the name: who has waited for one that another was removing begins
//! anew.
//!
//! A directory may be its container's user's (a service's, which systemd makes before it starts the launcher), while
//! root looks: so nothing is made by looking, and neither links are followed nor pipes waited for.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{ContainerName, FailureKind, Memory, Process};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use serde::{Deserialize, Serialize};

/// Where the directories are.
pub const DIRECTORY: &str = "/run/cki";

/// How long others may look at a name, or remove what was left under it; each needs a few system calls. Longer than
/// that has it who runs the container.
const BUSY_LIMIT: Duration = Duration::from_millis(500);
/// The state of a container is not nearly as large.
const STATE_LIMIT: u64 = 16 << 20;
/// The file of the state.
const STATE: &str = "state.json";
/// The same while it is written.
const NEW_STATE: &str = "state.new";
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// What is known of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub name: ContainerName,
    /// Process of its launcher.
    pub pid: i32,
    /// When that process was started ([`start_time`]): its number may be another's by now. A launcher of before there
    /// was this field is listed, and gets no signal.
    #[serde(default)]
    pub started: u64,
    /// Its memory.
    pub memory: Memory,
    /// Its program.
    pub process: Process,
}

/// Why there is no such container, or can be none.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// It runs already.
    #[error("a container called {0} is running; choose another name")]
    Taken(ContainerName),
    /// None runs under this name.
    #[error("no container called {0} is running; `list` shows those that are")]
    Missing(ContainerName),
    /// The directory cannot be used.
    #[error("{}", .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl NameError {
    /// What sort of failure it is: a name that cannot be had is the fault of who asked for it.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Taken(_) | Self::Missing(_) => FailureKind::Request,
            Self::Io { .. } => FailureKind::Internal,
        }
    }
}

/// One of all that run.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What is known of it; an error if that cannot be read, as when a newer launcher has written it.
    pub state: Result<State, NameError>,
}

/// The names of containers that run: the directories below one.
#[derive(Debug, Clone)]
pub struct ContainerNames(PathBuf);

/// A container's name, held by its launcher.
#[derive(Debug)]
pub struct HeldName {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Default for ContainerNames {
    fn default() -> Self {
        ContainerNames(PathBuf::from(DIRECTORY))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> NameError {
    move |source| NameError::Io {
        path: path.to_owned(),
        source,
    }
}

impl ContainerNames {
    /// Those below `path`.
    #[must_use]
    pub fn below(path: &Path) -> Self {
        ContainerNames(path.to_owned())
    }

    fn path(&self, name: &ContainerName) -> PathBuf {
        self.0.join(name.as_str())
    }

    /// Takes a name for a container, which this process runs.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn take(&self, state: &State) -> Result<HeldName, NameError> {
        let path = self.path(&state.name);
        let start = Instant::now();
        let lock = loop {
            match make_lock(&path)
                .and_then(|lock| try_lock(lock, &path, FlockArg::LockExclusiveNonblock))
            {
                Ok(Some(lock)) => break lock,
                Ok(None) if start.elapsed() >= BUSY_LIMIT => {
                    return Err(NameError::Taken(state.name.clone()));
                }
                // Somebody looks, or has removed the directory meanwhile.
                Ok(None) => thread::sleep(PAUSE),
                // Removed between two of these steps, or there again.
                Err(error)
                    if (is_missing(&error) || is_there(&error)) && start.elapsed() < BUSY_LIMIT =>
                {
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        };
        if let Err(error) = write_state(&path, state) {
            // A directory without a state is somebody's who is about to say more, so nobody else would remove it.
            let _ = remove(&path);
            return Err(failed(&path.join(STATE))(error));
        }
        Ok(HeldName { path, _lock: lock })
    }

    /// The running container of a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn find(&self, name: &ContainerName) -> Result<State, NameError> {
        self.look(&self.path(name))?
            .ok_or_else(|| NameError::Missing(name.clone()))
    }

    /// All that run, by name.
    ///
    /// # Errors
    /// When the directory of all cannot be read. One container that cannot be is in the list.
    pub fn all(&self) -> Result<Vec<Found>, NameError> {
        let directories = match fs::read_dir(&self.0) {
            Ok(directories) => directories,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.0)(error)),
        };
        let mut all = Vec::new();
        for directory in directories {
            let directory = directory.map_err(failed(&self.0))?;
            let name = directory.file_name().to_string_lossy().into_owned();
            let state = self.look(&directory.path()).transpose();
            all.extend(state.map(|state| Found { name, state }));
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Whether the process of this state is the launcher: it has been since the container began, and not got the number
    /// after it; and whoever can write the directory of another user's container can name any process there, and means
    /// one of that user's. Holds for a descriptor of the process (pidfd_open(2)) that was opened before.
    ///
    /// # Errors
    /// When directory or process cannot be looked at.
    pub fn is_launcher(&self, state: &State) -> io::Result<bool> {
        // It may be a link of systemd's; in the directory of all, users make none.
        let owner = fs::metadata(self.path(&state.name))?.uid();
        let status = fs::read_to_string(format!("/proc/{}/status", state.pid))?;
        Ok(start_time(state.pid)? == state.started && (owner == 0 || is_of(owner, &status)))
    }

    /// Who listens for connections to a container.
    #[must_use]
    pub fn sockets(&self, state: &State) -> PathBuf {
        self.path(&state.name).join("vsock")
    }

    /// Who tells a container's counts.
    #[must_use]
    pub fn stats(&self, state: &State) -> PathBuf {
        self.path(&state.name).join("stats")
    }

    /// The container of a directory, unless its launcher has gone; what that left is removed then.
    fn look(&self, path: &Path) -> Result<Option<State>, NameError> {
        // One without a lock does not run yet: systemd has made the directory.
        let lock = match open_lock(path, false) {
            Err(error) if is_missing(&error) => return Ok(None),
            lock => lock?,
        };
        match try_lock(lock, path, FlockArg::LockSharedNonblock) {
            Ok(None) => {}
            Ok(Some(lock)) => {
                // Others who look have it, too, and one of them is the last. Who has made the lock and is about to take
                // it has said nothing yet, and may not be able to make the directory.
                let left = [STATE, NEW_STATE]
                    .iter()
                    .any(|name| path.join(name).symlink_metadata().is_ok());
                if left
                    && lock.relock(FlockArg::LockExclusiveNonblock).is_ok()
                    && is_at(&lock, path)
                {
                    or_gone(remove(path)).map_err(failed(path))?;
                }
                return Ok(None);
            }
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        // Who is writing its state does not run yet, and the one that is there is its predecessor's.
        if path.join(NEW_STATE).symlink_metadata().is_ok() {
            return Ok(None);
        }
        let file = path.join(STATE);
        match read_state(&file) {
            // One that has its name and is about to say more does not run yet, either.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&file)(error)),
            Ok(text) => {
                let state: State =
                    serde_json::from_slice(&text).map_err(|error| failed(&file)(error.into()))?;
                if path.file_name() != Some(state.name.as_str().as_ref()) {
                    return Err(failed(&file)(io::Error::other("it is another container's")));
                }
                Ok(Some(state))
            }
        }
    }
}

/// Makes a name's directory, if it is not there, and the file of its lock.
fn make_lock(path: &Path) -> Result<File, NameError> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let made = path
        .parent()
        .map_or(Ok(()), |all| builder.recursive(true).create(all))
        .and_then(|()| builder.recursive(false).create(path));
    let is_ours = match made {
        Ok(()) => true,
        // A service's may be a link to it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => false,
        Err(error) => return Err(failed(path)(error)),
    };
    open_lock(path, true).inspect_err(|_| {
        if is_ours {
            // Nobody who looks would: it is like a service's that is about to start. If somebody else has made a lock
            // in it meanwhile, it stays, as theirs.
            let _ = fs::remove_dir(path);
        }
    })
}

/// What was removed, by whomever.
fn or_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether a directory or file is not there (any more).
fn is_missing(error: &NameError) -> bool {
    matches!(error, NameError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

/// Whether a directory could not be made because something is there, which may have been removed since.
fn is_there(error: &NameError) -> bool {
    matches!(error, NameError::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists)
}

/// A file of a directory that may be somebody else's: links are not followed, and a pipe is not waited for.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")),
    }
}

/// The file of a directory's lock.
fn open_lock(path: &Path, create: bool) -> Result<File, NameError> {
    let path = path.join("lock");
    let mut options = File::options();
    // Not truncated: there is nothing in it. Nobody else may open it: a lock needs no more than that.
    options
        .read(true)
        .write(create)
        .create(create)
        .truncate(false)
        .mode(0o600);
    open(&mut options, &path).map_err(failed(&path))
}

/// Locks a lock's file, unless somebody has it or it is not that of `path` any more.
fn try_lock(file: File, path: &Path, how: FlockArg) -> Result<Option<Flock<File>>, NameError> {
    match Flock::lock(file, how) {
        Ok(locked) if is_at(&locked, path) => Ok(Some(locked)),
        Ok(_) => Err(failed(path)(ErrorKind::NotFound.into())),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(failed(path)(error.into())),
    }
}

/// Whether a lock's file is that of the directory `path`.
fn is_at(lock: &File, path: &Path) -> bool {
    let there = fs::symlink_metadata(path.join("lock"));
    let same = |there: Metadata| {
        let ours = lock.metadata()?;
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    };
    there.and_then(same).unwrap_or(false)
}

/// Removes what is in a directory whose lock is ours, and the directory unless somebody has just taken it. The state
/// comes late: who is killed before that has left something to find ([`ContainerNames::look`]). The lock's file is the
/// last.
fn remove(path: &Path) -> io::Result<()> {
    let last = [NEW_STATE, STATE, "lock"];
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if last.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    for name in last {
        or_gone(fs::remove_file(path.join(name)))?;
    }
    // Without a lock it is nobody's: somebody may just be taking it, systemd removes a service's itself, and where that
    // is a link, or in a directory that is not ours, we cannot.
    let _ = fs::remove_dir(path);
    Ok(())
}

/// Writes the state into a directory whose lock is ours, for this user alone: the program's variables are in it. From
/// the first step to the last there is a file by which the directory is found if we are killed.
fn write_state(path: &Path, state: &State) -> io::Result<()> {
    let text = serde_json::to_vec(state)?;
    let (file, new) = (path.join(STATE), path.join(NEW_STATE));
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut writes = open(&mut options, &new)?;
    // Who had the name before has left it, and is not to be taken for us.
    or_gone(fs::remove_file(&file))?;
    writes.write_all(&text)?;
    // Whole or not there: others may be reading.
    fs::rename(&new, &file)
}

/// When a process was started, in clock ticks since the machine was (proc_pid_stat(5), field 22).
///
/// # Errors
/// When there is no such process, or it cannot be seen.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is field 2, in parentheses, and may have any character in it.
    let behind = text.rsplit_once(") ").map(|(_, behind)| behind);
    let field = behind.and_then(|fields| fields.split(' ').nth(22 - 3));
    let field = field.and_then(|field| field.parse().ok());
    field.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no time of start")))
}

/// Whether all users of a process are that one, as `/proc/PID/status` has them: the real, effective and saved one, and
/// that of its file accesses (proc_pid_status(5)).
fn is_of(user: u32, status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let mut users = line.into_iter().flat_map(str::split_whitespace).peekable();
    users.peek().is_some() && users.all(|of| of.parse() == Ok(user))
}

fn read_state(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = open(File::options().read(true), path)?;
    file.take(STATE_LIMIT).read_to_end(&mut text)?;
    Ok(text)
}

impl HeldName {
    /// Where the container's sockets are to be.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.path.join("vsock")
    }

    /// Where its counts are to be told.
    #[must_use]
    pub fn stats(&self) -> PathBuf {
        self.path.join("stats")
    }
}

#[cfg(test)]
#[path = "container_names_tests.rs"]
mod tests;
