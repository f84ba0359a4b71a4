// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starting the process of a volume.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::words::{NOT_A_DIRECTORY, READY, SERVE};

/// Bytes of what the process says before it is ready, at most.
const SAID_MAX: u64 = 4096;

/// A directory that is shared as a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Where it is.
    pub directory: PathBuf,
    /// Whether nothing in it can be changed.
    pub is_read_only: bool,
}

/// A volume that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process cannot be started.
    #[error("cannot start the process of the volume {}: {source}", .directory.display())]
    Spawn {
        /// The volume's directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It said why it cannot serve the directory.
    #[error("the volume {}: {reason}", .directory.display())]
    Refused {
        /// The volume's directory.
        directory: PathBuf,
        /// What it said.
        reason: String,
    },
}

impl Shared {
    /// Looks at the directory, so that what is plainly wrong is said before anything is started.
    ///
    /// # Errors
    /// [`io::Error`]: it is not there, or not a directory.
    pub fn look_at(directory: &Path) -> io::Result<()> {
        match directory.metadata()?.is_dir() {
            true => Ok(()),
            false => Err(io::Error::new(ErrorKind::NotADirectory, NOT_A_DIRECTORY)),
        }
    }

    /// The words for the program that [`start`] executes.
    fn words(&self) -> [OsString; 3] {
        let access = if self.is_read_only { "ro" } else { "rw" };
        [SERVE.into(), access.into(), self.directory.clone().into()]
    }
}

/// The process of a volume. It ends when the socket does; dropping this ends it at once.
#[derive(Debug)]
pub struct VolumeProcess {
    child: Child,
}

impl VolumeProcess {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it live as long as its socket, for whoever may kill nobody later.
    pub fn leave_to_its_socket(self) {
        std::mem::forget(self);
    }
}

impl Drop for VolumeProcess {
    fn drop(&mut self) {
        // It may have ended; then there is nobody to kill, and its status to take.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the process of a volume: `program`, which asks [`serve::if_asked`](crate::serve::if_asked) first of all.
/// Returns our end of its socket once it serves.
///
/// # Errors
/// [`StartError`]: no such directory, no user namespaces, and the like.
pub fn start(program: &Path, volume: &Shared) -> Result<(UnixStream, VolumeProcess), StartError> {
    let spawn = |source| StartError::Spawn {
        directory: volume.directory.clone(),
        source,
    };
    let (ours, its) = UnixStream::pair().map_err(spawn)?;
    let mut child = Command::new(program)
        .args(volume.words())
        .env_clear()
        // Keys of the terminal are signals for the program, which may still want to write.
        .process_group(0)
        .stdin(OwnedFd::from(its))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(spawn)?;
    let said = child.stdout.take();
    let process = VolumeProcess { child };
    let mut reason = String::new();
    if let Some(said) = said {
        BufReader::new(said.take(SAID_MAX))
            .read_line(&mut reason)
            .map_err(spawn)?;
    }
    if reason == READY {
        return Ok((ours, process));
    }
    let reason = match reason.trim_end() {
        "" => "its process ended without a word".to_owned(),
        said => said.to_owned(),
    };
    Err(StartError::Refused {
        directory: volume.directory.clone(),
        reason,
    })
}
