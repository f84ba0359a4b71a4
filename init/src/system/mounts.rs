// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's file systems, mounted where programs expect them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

/// A mount, as a line of `fstab` has it.
struct Entry {
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    options: &'static str,
}

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const DATA: MsFlags = SAFE.union(MsFlags::MS_NOEXEC);

/// In order: a mount point may lie in an earlier mount.
const KERNEL: [Entry; 9] = [
    entry("proc", "proc", DATA, ""),
    entry("sysfs", "sys", DATA, ""),
    entry("cgroup2", "sys/fs/cgroup", DATA, ""),
    // Devices are what /dev is for, so no MS_NODEV here and on the terminals.
    entry("devtmpfs", "dev", MsFlags::MS_NOSUID, "mode=755"),
    entry(
        "devpts",
        "dev/pts",
        MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        "mode=620,gid=5,ptmxmode=666",
    ),
    entry("mqueue", "dev/mqueue", DATA, ""),
    entry("tmpfs", "dev/shm", SAFE, "mode=1777"),
    entry("tmpfs", "run", SAFE, "mode=755"),
    entry("tmpfs", "tmp", SAFE, "mode=1777"),
];

/// Mount points of [`KERNEL`] that init cannot do without.
const EARLY: [&str; 3] = ["proc", "sys", "dev"];

const fn entry(
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    options: &'static str,
) -> Entry {
    Entry {
        kind,
        target,
        flags,
        options,
    }
}

/// A mount that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount {kind} on {target}: {source}")]
pub struct MountError {
    kind: String,
    target: String,
    source: io::Error,
}

/// Mounts `source` of type `kind` on `target`, which is made when it does not exist.
///
/// # Errors
/// [`MountError`], which names all three.
pub fn mount_at(
    source: &str,
    kind: &str,
    target: &Path,
    flags: MsFlags,
    options: &str,
) -> Result<(), MountError> {
    make_directory(target, 0o755)
        .and_then(|()| {
            mount(Some(source), target, Some(kind), flags, Some(options)).map_err(io::Error::from)
        })
        .map_err(|source| MountError {
            kind: kind.to_owned(),
            target: target.display().to_string(),
            source,
        })
}

/// Puts a mount of the initramfs in the place of the initramfs itself, which pivot_root(2) does not leave:
/// so do programs that shut themselves into a directory, such as passt.
///
/// # Errors
/// [`MountError`].
pub fn leave_initial_root() -> Result<(), MountError> {
    let place = Path::new("/initial");
    mount_at("/", "none", place, MsFlags::MS_BIND, "")?;
    switch_root(place).map_err(|source| MountError {
        kind: "the initial file system".to_owned(),
        target: "/".to_owned(),
        source,
    })
}

/// Puts the mount on `root` in the place of `/`, as switch_root(8) does: the initramfs below it
/// can be hidden but not unmounted.
pub(crate) fn switch_root(root: &Path) -> io::Result<()> {
    chdir(root)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

/// Mounts what init itself needs below `root`: `/proc`, `/sys` and `/dev`.
///
/// # Errors
/// The first [`MountError`].
pub fn mount_early(root: &Path) -> Result<(), MountError> {
    mount_where(root, |target| EARLY.contains(&target))
}

/// Mounts every kernel file system below `root` that is not mounted yet and completes `/dev`.
///
/// # Errors
/// The first [`MountError`].
pub fn mount_kernel_filesystems(root: &Path) -> Result<(), MountError> {
    // In the initramfs the early ones are there; in the image, none.
    let is_early_done = root.join("proc/mounts").exists();
    mount_where(root, |target| !(is_early_done && EARLY.contains(&target)))?;
    link_standard_streams(&root.join("dev")).map_err(|source| MountError {
        kind: "the links of".to_owned(),
        target: "/dev".to_owned(),
        source,
    })
}

fn mount_where(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), MountError> {
    for entry in KERNEL.iter().filter(|entry| wanted(entry.target)) {
        let target = root.join(entry.target);
        mount_at(entry.kind, entry.kind, &target, entry.flags, entry.options)?;
    }
    Ok(())
}

/// The links that programs expect in `/dev` and devtmpfs does not make.
fn link_standard_streams(dev: &Path) -> io::Result<()> {
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        match symlink(target, dev.join(name)) {
            // Every mount of devtmpfs shows the same files.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes a directory and its parents unless it is there.
///
/// # Errors
/// Those of `mkdir(2)`.
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mount_point_lies_in_an_earlier_mount_or_the_root() {
        for (index, entry) in KERNEL.iter().enumerate() {
            for later in &KERNEL[index + 1..] {
                assert!(
                    !Path::new(entry.target).starts_with(later.target),
                    "{} would be hidden by {}",
                    entry.target,
                    later.target
                );
            }
        }
    }

    #[test]
    fn a_mount_that_fails_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = mount_at(
            "none",
            "nosuchfs",
            &directory.path().join("a/b"),
            MsFlags::empty(),
            "",
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("nosuchfs") && error.contains("a/b"),
            "{error}"
        );
    }

    #[test]
    fn links_that_are_there_already_are_no_error() {
        let directory = tempfile::tempdir().unwrap();
        link_standard_streams(directory.path()).unwrap();
        link_standard_streams(directory.path()).unwrap();
        let target = fs::read_link(directory.path().join("stderr")).unwrap();
        assert_eq!(target, Path::new("/proc/self/fd/2"));
    }
}
