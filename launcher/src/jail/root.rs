// SPDX-License-Identifier: MIT OR Apache-2.0

//! A root directory with nothing in it, in a mount namespace with nothing else.
//!
//! With `--vsock` there is one directory in it, that of the sockets to which the container may connect, and the process
//! is in a network namespace of its own, too: Unix sockets with names of another kind are not files.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use nix::unistd::{chdir, pivot_root};

/// Where it is made: a directory that every system has, which the new root hides.
const PLACE: &str = "/proc";
/// The directory of sockets in it.
const SOCKETS: &str = "sockets";

/// Why there is no such root directory.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A step that failed.
    #[error("it cannot {step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// As [`RootError::Step`]: there is no way out of the directory that it has.
    #[error(
        "it cannot {step}: {}: the one that it has is no mount of its own, as after chroot(2), or that of the initial \
         ramdisk",
        Errno::EINVAL.desc()
    )]
    NoMount {
        /// What was tried.
        step: &'static str,
    },
    /// No step failed, and yet it is not so.
    #[error("{0}")]
    Left(&'static str),
}

impl RootError {
    /// What to do about it, if it is no capability that is missing.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            RootError::NoMount { .. } => Some(
                "start it as a user of the group that may open /dev/cki, or in another root directory: one that \
                 pivot_root(8) has changed to, as container engines do",
            ),
            RootError::Step { .. } | RootError::Left(_) => None,
        }
    }
}

/// As [`cannot`], of what fails in a root directory that cannot be left, too.
fn cannot_leave(step: &'static str) -> impl Fn(Errno) -> RootError {
    move |error| match error {
        Errno::EINVAL => RootError::NoMount { step },
        error => cannot(step)(error),
    }
}

fn cannot<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> RootError {
    move |source| RootError::Step {
        step,
        source: source.into(),
    }
}

/// A root directory to be.
#[derive(Debug, Default)]
pub struct Root {
    sockets: Option<PathBuf>,
}

impl Root {
    /// Lets the directory of this socket be in it; the socket's path then, which is to be used from there on for those beside
    /// it.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn keep_directory_of(&mut self, socket: &Path) -> io::Result<PathBuf> {
        let directory = match socket.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let name = socket.file_name().ok_or(ErrorKind::InvalidInput)?;
        self.sockets = Some(fs::canonicalize(directory)?);
        Ok(Path::new("/").join(SOCKETS).join(name))
    }

    /// Makes it and enters it. Everything else that was mounted is out of sight for good.
    ///
    /// # Errors
    /// [`RootError`].
    pub(super) fn enter(self) -> Result<(), RootError> {
        let none = None::<&str>;
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let read_only = safe | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        let mut namespaces = CloneFlags::CLONE_NEWNS;
        if self.sockets.is_some() {
            namespaces |= CloneFlags::CLONE_NEWNET;
        }
        let step = "make namespaces of its own";
        let old_network = network().map_err(cannot(step))?;
        unshare(namespaces).map_err(cannot(step))?;
        // It cannot be seen any more once the new root is there.
        if self.sockets.is_some() && network().map_err(cannot(step))? == old_network {
            return Err(RootError::Left(
                "its network namespace is still its old one",
            ));
        }
        let step = "make a root directory of its own";
        // Nothing of what follows is seen by others.
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).map_err(cannot_leave(step))?;
        let options = Some("mode=555,size=4k,nr_inodes=4");
        mount(Some("cki"), PLACE, Some("tmpfs"), safe, options).map_err(cannot(step))?;
        chdir(PLACE).map_err(cannot(step))?;
        if let Some(directory) = &self.sockets {
            let step = "keep the directory of --vsock in sight";
            fs::create_dir(SOCKETS).map_err(cannot(step))?;
            mount(Some(directory), SOCKETS, none, MsFlags::MS_BIND, none).map_err(cannot(step))?;
            mount(none, SOCKETS, none, read_only, none).map_err(cannot(step))?;
        }
        mount(none, ".", none, read_only, none).map_err(cannot(step))?;
        // The old root comes to lie upon the new one, where it is unmounted with all that is below it.
        pivot_root(".", ".").map_err(cannot_leave("change its root directory"))?;
        umount2(".", MntFlags::MNT_DETACH).map_err(cannot("leave its old root directory"))?;
        chdir("/").map_err(cannot(step))?;
        self.look()
    }

    /// Whether it is so: a file system in memory that cannot be written, with nothing in it but what was kept.
    fn look(&self) -> Result<(), RootError> {
        let step = "see its root directory";
        let found = statfs("/").map_err(cannot(step))?;
        if found.filesystem_type() != TMPFS_MAGIC {
            return Err(RootError::Left("its root directory is still the old one"));
        }
        if !found.flags().contains(FsFlags::ST_RDONLY) {
            return Err(RootError::Left("its root directory can be written"));
        }
        let of = |path: &str| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let [root, here, above] = ["/", ".", ".."].map(of);
        let root = root.map_err(cannot(step))?;
        for directory in [here, above] {
            if directory.map_err(cannot(step))? != root {
                return Err(RootError::Left("its directory is outside of its root"));
            }
        }
        for entry in fs::read_dir("/").map_err(cannot(step))? {
            let name = entry.map_err(cannot(step))?.file_name();
            if self.sockets.is_none() || name != SOCKETS {
                return Err(RootError::Left("something is in its root directory"));
            }
        }
        Ok(())
    }
}

/// What tells this thread's network namespace from others.
fn network() -> io::Result<(u64, u64)> {
    let found = fs::metadata("/proc/thread-self/ns/net")?;
    Ok((found.dev(), found.ino()))
}
