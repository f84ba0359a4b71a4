// SPDX-License-Identifier: MIT OR Apache-2.0

//! The directory of a machine that stays up, by its name.
//!
//! | file | what |
//! |---|---|
//! | the directory itself | locked by the supervisor for as long as it lives |
//! | `socket` | where clients connect |
//! | `N.control`, `N.stdin`, ... | QEMU's ends of the ports of place N, for the supervisor |
//! | `log` | what the supervisor, QEMU and the machine's kernel had to say |

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};

use super::error::ResidentError;

/// Where clients connect.
const SOCKET: &str = "socket";
/// What had to be said.
const LOG: &str = "log";

/// A machine's directory, whether the machine is up or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    name: String,
    path: PathBuf,
}

/// The directory of a machine that this process has, or is about to have. Nobody else has it until this is dropped.
#[derive(Debug)]
pub(super) struct Locked {
    directory: Directory,
    file: File,
    /// Others may have it.
    is_over: AtomicBool,
}

impl Directory {
    /// That of the machine `name`, where all of a user's are below `machines`.
    ///
    /// # Errors
    /// [`ResidentError::Name`].
    pub fn new(machines: &Path, name: &str) -> Result<Self, ResidentError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || name.len() > 32 || !name.chars().all(plain) {
            return Err(ResidentError::Name(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            path: machines.join(name),
        })
    }

    /// The machine's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the machine had to say, if anything.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// A connection to the supervisor; `None` when there is none.
    pub(super) fn connect(&self) -> Result<Option<UnixStream>, ResidentError> {
        let down = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            )
        };
        let file = File::open(&self.path);
        match file.and_then(|file| connect(&ours(file)?, SOCKET)) {
            Ok(connection) => Ok(Some(connection)),
            Err(error) if down(&error) => Ok(None),
            Err(error) => Err(ResidentError::system(format!(
                "cannot connect to the machine {}",
                self.name
            ))(error)),
        }
    }

    /// Makes it, and takes it for this process. What a supervisor that was killed has left is removed.
    ///
    /// # Errors
    /// [`ResidentError::Up`] when another has it.
    pub(super) fn lock(&self) -> Result<Locked, ResidentError> {
        let cannot = |what: &str| {
            let what = format!("cannot {what} {}", self.path.display());
            ResidentError::system(what)
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.path).map_err(cannot("make"))?;
        fs::set_permissions(&self.path, Permissions::from_mode(0o700))
            .map_err(cannot("protect"))?;
        let file = File::open(&self.path).map_err(cannot("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(ResidentError::Up(self.name.clone()));
            }
            Err(error) => return Err(cannot("lock")(error.into())),
        }
        let locked = Locked {
            directory: self.clone(),
            file,
            is_over: AtomicBool::new(false),
        };
        locked.clear().map_err(cannot("clear"))?;
        Ok(locked)
    }
}

impl Locked {
    /// Listens for clients.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind(through(&self.file, SOCKET))
    }

    /// A connection to QEMU's socket `name`.
    pub(super) fn connect(&self, name: &str) -> io::Result<UnixStream> {
        connect(&self.file, name)
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// An empty log.
    pub(super) fn new_log(&self) -> io::Result<File> {
        File::create(self.directory.log())
    }

    /// Lets others have it from now on.
    pub(super) fn unlock(&self) {
        // Once: after that it may be another's.
        if self.is_over.swap(true, Ordering::Relaxed) {
            return;
        }
        // What stays is removed by the next.
        let _ = self.clear();
        let _ = flock(&self.file, FlockOperation::Unlock);
    }

    /// Removes all sockets.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory.path)?.flatten() {
            if entry.file_name() != LOG {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// The directory, unless it is another user's, who could answer in the machine's name.
fn ours(directory: File) -> io::Result<File> {
    let owner = directory.metadata()?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("its directory is that of the user {owner}"),
        ));
    }
    Ok(directory)
}

/// A name in an open directory, as a path of bounded length: that of a socket has 107 bytes at most (unix(7)).
fn through(directory: &File, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()).into()
}

fn connect(directory: &File, name: &str) -> io::Result<UnixStream> {
    UnixStream::connect(through(directory, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", ".a", "a/b", "-x", "a b", &"x".repeat(33)] {
            let error = Directory::new(Path::new("/m"), name).unwrap_err();
            assert!(matches!(error, ResidentError::Name(_)), "{name:?}");
        }
        let directory = Directory::new(Path::new("/m"), "work-2").unwrap();
        assert_eq!(directory.path(), Path::new("/m/work-2"));
    }

    #[test]
    fn one_process_has_it_and_what_it_leaves_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        // Longer than the path of a socket may be.
        let machines = scratch.path().join("d".repeat(100));
        let directory = Directory::new(&machines, "m").unwrap();
        assert!(directory.connect().unwrap().is_none());
        let locked = directory.lock().unwrap();
        let listener = locked.listen().unwrap();
        assert!(directory.connect().unwrap().is_some());
        let error = directory.lock().unwrap_err();
        assert!(matches!(error, ResidentError::Up(_)), "{error}");
        // As if it had been killed: its socket is there, and nobody listens.
        drop(listener);
        assert!(directory.path().join(SOCKET).exists());
        assert!(directory.connect().unwrap().is_none());
        locked.unlock();
        let next = directory.lock().unwrap();
        next.listen().unwrap();
        // What the first has is not the directory any more.
        drop(locked);
        assert!(directory.path().join(SOCKET).exists());
        drop(next);
        assert!(!directory.path().join(SOCKET).exists());
    }
}
