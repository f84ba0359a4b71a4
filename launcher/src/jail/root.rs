// SPDX-License-Identifier: MIT OR Apache-2.0

//! A root directory with nothing in it, in a mount namespace with nothing else.
//!
//! With `--vsock` there is one directory in it, that of the sockets to which the container may connect, and the process
//! is in a network namespace of its own, too: Unix sockets with names of another kind are not files.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use nix::unistd::{chdir, pivot_root};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// Where it is made: a directory that every system has, which the new root hides.
const PLACE: &str = "/proc";
/// The directory of sockets in it.
const SOCKETS: &str = "sockets";
/// What is tried of that directory.
const KEEP: &str = "keep the directory of --vsock in sight";

/// Why there is no such root directory.
#[derive(Debug, thiserror::Error)]
pub enum JailRootError {
    /// A step that failed.
    #[error("it cannot {step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// As [`JailRootError::Step`]: there is no way out of the directory that it has.
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

impl JailRootError {
    /// What to do about it, if it is no capability that is missing.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            JailRootError::NoMount { .. } => Some(
                "start it as a user of the group that may open /dev/cki, or in another root directory: one that \
                 pivot_root(8) has changed to, as container engines do",
            ),
            JailRootError::Step { .. } | JailRootError::Left(_) => None,
        }
    }
}

/// As [`cannot`], of what fails in a root directory that cannot be left, too.
fn cannot_leave(step: &'static str) -> impl Fn(Errno) -> JailRootError {
    move |error| match error {
        Errno::EINVAL => JailRootError::NoMount { step },
        error => cannot(step)(error),
    }
}

fn cannot<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> JailRootError {
    move |source| JailRootError::Step {
        step,
        source: source.into(),
    }
}

/// A root directory to be.
#[derive(Debug, Default)]
pub struct JailRoot {
    sockets: Option<File>,
}

impl JailRoot {
    /// Lets this directory be in it, which has the socket of this name; the socket's path then, which is to be used
    /// from there on for those beside it.
    pub fn keep(&mut self, directory: File, socket: &OsStr) -> PathBuf {
        self.sockets = Some(directory);
        Path::new("/").join(SOCKETS).join(socket)
    }

    /// Makes it and enters it. Everything else that was mounted is out of sight for good.
    ///
    /// # Errors
    /// [`JailRootError`].
    pub(super) fn enter(self) -> Result<(), JailRootError> {
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
            return Err(JailRootError::Left(
                "its network namespace is still its old one",
            ));
        }
        let kept = self.sockets.as_ref().map(taken_along).transpose();
        let kept = kept.map_err(cannot(KEEP))?;
        let step = "make a root directory of its own";
        // Nothing of what follows is seen by others.
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).map_err(cannot_leave(step))?;
        let options = Some("mode=555,size=4k,nr_inodes=4");
        mount(Some("cki"), PLACE, Some("tmpfs"), safe, options).map_err(cannot(step))?;
        chdir(PLACE).map_err(cannot(step))?;
        if let Some(tree) = kept {
            fs::create_dir(SOCKETS).map_err(cannot(KEEP))?;
            let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(&tree, "", CWD, SOCKETS, whole).map_err(cannot(KEEP))?;
            mount(none, SOCKETS, none, private, none).map_err(cannot(KEEP))?;
            mount(none, SOCKETS, none, read_only, none).map_err(cannot(KEEP))?;
        }
        mount(none, ".", none, read_only, none).map_err(cannot(step))?;
        // The old root comes to lie upon the new one, where it is unmounted with all that is below it.
        pivot_root(".", ".").map_err(cannot_leave("change its root directory"))?;
        umount2(".", MntFlags::MNT_DETACH).map_err(cannot("leave its old root directory"))?;
        chdir("/").map_err(cannot(step))?;
        self.look()
    }

    /// Whether it is so: a file system in memory that cannot be written, with nothing in it but what was kept.
    fn look(&self) -> Result<(), JailRootError> {
        let step = "see its root directory";
        let found = statfs("/").map_err(cannot(step))?;
        if found.filesystem_type() != TMPFS_MAGIC {
            return Err(JailRootError::Left(
                "its root directory is still the old one",
            ));
        }
        if !found.flags().contains(FsFlags::ST_RDONLY) {
            return Err(JailRootError::Left("its root directory can be written"));
        }
        let of = |path: &str| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let [root, here, above] = ["/", ".", ".."].map(of);
        let root = root.map_err(cannot(step))?;
        for directory in [here, above] {
            if directory.map_err(cannot(step))? != root {
                return Err(JailRootError::Left("its directory is outside of its root"));
            }
        }
        for entry in fs::read_dir("/").map_err(cannot(step))? {
            let name = entry.map_err(cannot(step))?.file_name();
            if self.sockets.is_none() || name != SOCKETS {
                return Err(JailRootError::Left("something is in its root directory"));
            }
        }
        Ok(())
    }
}

/// A mount of this directory, of the mount namespace that this thread has entered since the directory was opened.
///
/// It may be another user's, who can have exchanged it for another one since, which that user may not look into: what
/// is found by its path counts if it is still the same.
fn taken_along(directory: &File) -> io::Result<OwnedFd> {
    let path = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    let found = again(directory, &path)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(&found, "", flags)?)
}

/// The directory at this path, if it is `directory`.
fn again(directory: &File, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let found = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let (one, other) = (directory.metadata()?, found.metadata()?);
    if (one.dev(), one.ino()) != (other.dev(), other.ino()) {
        return Err(io::Error::other("another one is in its place"));
    }
    Ok(found)
}

/// What tells this thread's network namespace from others.
fn network() -> io::Result<(u64, u64)> {
    let found = fs::metadata("/proc/thread-self/ns/net")?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_again_only_where_no_other_is_in_its_place() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |name: &str| place.path().join(name);
        let secret = at("secret");
        fs::create_dir(at("sockets")).expect("made");
        fs::create_dir(&secret).expect("made");
        let kept = File::open(at("sockets")).expect("opened");
        again(&kept, &at("sockets")).expect("the same");
        fs::rename(at("sockets"), at("elsewhere")).expect("renamed");
        again(&kept, &at("elsewhere")).expect("the same, by its new name");
        fs::rename(&secret, at("sockets")).expect("renamed");
        let error = again(&kept, &at("sockets")).expect_err("another one");
        assert_eq!(error.to_string(), "another one is in its place");
        std::os::unix::fs::symlink("elsewhere", at("link")).expect("made");
        again(&kept, &at("link")).expect_err("a link, whoever made it");
    }
}
