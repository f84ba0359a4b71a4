// SPDX-License-Identifier: MIT OR Apache-2.0

//! What keeps the process of a volume from everything but its directory.
//!
//! In this order, by a process of one thread: open files ([`close_others`]), namespaces ([`leave`]), then in a child,
//! which is the first of its own process namespace, a root with the directory and the process's own descriptors
//! ([`enter`]), capabilities and system calls ([`confine`]). A step that fails is an error: there is no volume with
//! half a sandbox.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statfs::{FsType, Statfs, TMPFS_MAGIC, statfs};
use nix::sys::wait::waitpid;
use nix::unistd::{
    ForkResult, Pid, chdir, chroot, close, fork, getegid, geteuid, pipe, pivot_root,
};

use crate::mounts::{self, ForbiddenMount};
use crate::seccomp;

/// Where the directory is in the new root.
pub const DIRECTORY: &str = "/volume";

/// Descriptors that the process has at most: a large source tree, and some 400 MB of the kernel's memory.
const FILES_MAX: u64 = 1 << 18;

/// What the process keeps of root's capabilities: those that a file server for several users needs. In its
/// own user namespace they are good for files of users that the namespace has, and for nothing else.
const CAPABILITIES: [Capability; 6] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
];

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A step that failed.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was to be done.
        step: &'static str,
        /// Why it was not.
        source: io::Error,
    },
    /// What is in the directory could not be kept to it.
    #[error(transparent)]
    Mount(#[from] ForbiddenMount),
}

fn cannot<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> SandboxError {
    move |source| SandboxError::Step {
        step,
        source: source.into(),
    }
}

/// Whose files the process can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// All users: the process was started by root.
    All,
    /// The user who started the process, who is root in the namespace; everybody else is `nobody`.
    One,
}

impl Users {
    /// What this process can have.
    #[must_use]
    pub fn ours() -> Self {
        match geteuid().is_root() {
            true => Self::All,
            false => Self::One,
        }
    }
}

/// Closes every descriptor but the standard ones: whoever started us may have left others open in us.
///
/// # Errors
/// [`SandboxError`], when there is no `/proc`.
pub fn close_others() -> Result<(), SandboxError> {
    close_all_but(&[])
}

/// As [`close_others`], but for some.
///
/// # Errors
/// As there.
pub fn close_all_but(kept: &[RawFd]) -> Result<(), SandboxError> {
    let open = fs::read_dir("/proc/self/fd").map_err(cannot("list open files"))?;
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    // The list itself is among them, and closed by now.
    let numbers: Vec<RawFd> = open.filter_map(name).collect();
    for number in numbers {
        if number > 2 && !kept.contains(&number) {
            let _ = close(number);
        }
    }
    Ok(())
}

/// Leaves all namespaces for new ones. The process namespace is that of its next child.
///
/// # Errors
/// [`SandboxError`], most likely because the machine lets only root make user namespaces.
pub fn leave(users: Users) -> Result<(), SandboxError> {
    allow_many_files();
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let separate = || unshare(namespaces).map_err(cannot("make namespaces for a volume"));
    match users {
        Users::All => with_all_users(separate),
        Users::One => {
            let (user, group) = (geteuid(), getegid());
            separate()?;
            let write = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
            write("setgroups", "deny".to_owned())
                .and_then(|()| write("uid_map", format!("0 {user} 1")))
                .and_then(|()| write("gid_map", format!("0 {group} 1")))
                .map_err(cannot("name the user of a volume's namespace"))
        }
    }
}

/// Calls `separate`, and has a child that stays outside name all users of the new namespace: a process
/// may name one of them itself.
fn with_all_users(separate: impl Fn() -> Result<(), SandboxError>) -> Result<(), SandboxError> {
    let step = "name the users of a volume's namespace";
    let (separated, tell) = pipe().map_err(cannot(step))?;
    let us = Pid::this();
    // SAFETY: the process has one thread, so the child is a whole copy of it.
    match unsafe { fork() }.map_err(cannot(step))? {
        ForkResult::Child => {
            drop(tell);
            let named = fs::File::from(separated)
                .read_exact(&mut [0])
                .and_then(|()| name_users(us));
            std::process::exit(i32::from(named.is_err()));
        }
        ForkResult::Parent { child } => {
            drop(separated);
            separate()?;
            fs::File::from(tell).write_all(&[0]).map_err(cannot(step))?;
            match waitpid(child, None).map_err(cannot(step))? {
                nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
                _ => Err(cannot(step)(io::Error::from(
                    io::ErrorKind::PermissionDenied,
                ))),
            }
        }
    }
}

/// Gives the namespace of a process all users of ours, under the same numbers.
fn name_users(process: Pid) -> io::Result<()> {
    for map in ["uid_map", "gid_map"] {
        let ours = fs::read_to_string(format!("/proc/self/{map}"))?;
        fs::write(format!("/proc/{process}/{map}"), same_numbers(&ours))?;
    }
    Ok(())
}

/// The map for a namespace below the one with this map: the same numbers on both sides.
fn same_numbers(map: &str) -> String {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (first, count) = (words.next()?, words.nth(1)?);
        Some(format!("{first} {first} {count}\n"))
    };
    map.lines().filter_map(line).collect()
}

/// The process keeps a descriptor for each file that the container's kernel remembers.
fn allow_many_files() {
    // Whoever may not raise the limit has as many as it allows.
    if setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX).is_err() {
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let most = hard.min(FILES_MAX);
            let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
        }
    }
}

/// Makes a root that has `directory` at [`DIRECTORY`] and, at `/proc/self/fd`, what `/proc` has there for this process,
/// and nothing else: the rest of `/proc/self` has ways out, such as `exe`, the program that a next start executes.
///
/// No `/proc` is mounted anew: whoever keeps a part of his from us, as systemd does for a service
/// (`ProtectKernelTunables=`), may not mount another one.
///
/// # Errors
/// [`SandboxError`].
pub fn enter(directory: OwnedFd, is_read_only: bool) -> Result<(), SandboxError> {
    let step = "make the root of a volume's process";
    let tree = detached::clone(&directory).map_err(cannot("take the volume's directory"))?;
    drop(directory);
    detached::restrict(&tree, is_read_only).map_err(cannot("restrict the volume's directory"))?;
    let see = "see what /proc has of a volume's process";
    let mut listed = fs::File::open("/proc/self/mountinfo").map_err(cannot(see))?;
    let files = fs::File::open("/proc/self/fd").map(OwnedFd::from);
    let files = files.and_then(|files| detached::clone(&files));
    let files = files.map_err(cannot(see))?;
    detached::restrict(&files, true).map_err(cannot(see))?;
    let none = None::<&str>;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).map_err(cannot(step))?;
    mount(
        Some("cki-volume"),
        "/proc",
        Some("tmpfs"),
        safe,
        Some("mode=755,size=4k,nr_inodes=6"),
    )
    .map_err(cannot(step))?;
    chdir("/proc").map_err(cannot(step))?;
    for place in ["proc", "proc/self", "proc/self/fd", "volume"] {
        fs::create_dir(place).map_err(cannot(step))?;
    }
    // The file server opens it, and reads it for file handles only, which it does not use.
    fs::write("proc/self/mountinfo", "").map_err(cannot(step))?;
    detached::attach(&files, Path::new("proc/self/fd")).map_err(cannot(step))?;
    detached::attach(&tree, Path::new("volume")).map_err(cannot(step))?;
    let mut mounts = Vec::new();
    listed
        .read_to_end(&mut mounts)
        .map_err(cannot("list the mounts of a volume"))?;
    mounts::check(&mounts)?;
    mount(
        none,
        ".",
        none,
        safe | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
        none,
    )
    .map_err(cannot(step))?;
    change_root().map_err(cannot("change the root directory of a volume's process"))?;
    chdir("/").map_err(cannot(step))
}

/// Makes the working directory the root directory, and unmounts the old one with all that is below it. The initial file
/// system, which is no mount of its own, stays mounted, out of sight (pivot_root(2)).
fn change_root() -> nix::Result<()> {
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH),
        Err(Errno::EINVAL) if is_initial(&statfs("/")?) => chroot("."),
        Err(error) => Err(error),
    }
}

/// include/uapi/linux/magic.h.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Whether the kernel makes its initial file system of this.
fn is_initial(root: &Statfs) -> bool {
    [TMPFS_MAGIC, RAMFS_MAGIC].contains(&root.filesystem_type())
}

/// Gives up all capabilities but those of a file server, and all system calls but its own, for good.
///
/// # Errors
/// [`SandboxError`].
pub fn confine() -> Result<(), SandboxError> {
    let step = "drop the capabilities of a volume's process";
    let cannot_drop = |error: caps::errors::CapsError| cannot(step)(io::Error::other(error));
    let kept = CapsHashSet::from(CAPABILITIES);
    for capability in caps::all() {
        let has = caps::has_cap(None, CapSet::Bounding, capability);
        if !kept.contains(&capability) && has.unwrap_or_default() {
            caps::drop(None, CapSet::Bounding, capability).map_err(cannot_drop)?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(cannot_drop)?;
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        let set_to = match set {
            CapSet::Inheritable => CapsHashSet::new(),
            _ => kept.clone(),
        };
        caps::set(None, set, &set_to).map_err(cannot_drop)?;
    }
    nix::sys::prctl::set_no_new_privs().map_err(cannot("give up new privileges"))?;
    seccomp::apply().map_err(|error| cannot("restrict system calls")(io::Error::other(error)))
}

/// Mounts that are not attached anywhere (`open_tree(2)`, `mount_setattr(2)`, `move_mount(2)`), which the
/// crates that we use do not have.
mod detached {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;

    use super::{AsRawFd, FromRawFd, OwnedFd, Path, io};

    fn result(value: libc::c_long) -> io::Result<libc::c_int> {
        match libc::c_int::try_from(value) {
            Ok(value) if value >= 0 => Ok(value),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A copy of the mounts at and below `directory`.
    pub(super) fn clone(directory: &OwnedFd) -> io::Result<OwnedFd> {
        let flags = libc::OPEN_TREE_CLONE
            | libc::OPEN_TREE_CLOEXEC
            | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as libc::c_uint;
        // SAFETY: the path is a string, and the call writes nothing.
        let tree = unsafe {
            libc::syscall(
                libc::SYS_open_tree,
                directory.as_raw_fd(),
                c"".as_ptr(),
                flags,
            )
        };
        // SAFETY: the call has just opened it.
        Ok(unsafe { OwnedFd::from_raw_fd(result(tree)?) })
    }

    /// `struct mount_attr` of `linux/mount.h`.
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }

    /// Takes devices, set-user-ID programs, execution and perhaps writing from a tree, and whatever is mounted in
    /// it elsewhere.
    pub(super) fn restrict(tree: &OwnedFd, is_read_only: bool) -> io::Result<()> {
        let mut set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
        if is_read_only {
            set |= libc::MOUNT_ATTR_RDONLY;
        }
        let attributes = Attributes {
            set,
            clear: 0,
            // What is mounted there later is not in it.
            propagation: libc::MS_PRIVATE,
            user_namespace: 0,
        };
        // SAFETY: the path is a string, and the call reads the structure of the length that it is told.
        result(unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                c"".as_ptr(),
                (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as libc::c_uint,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        })
        .map(drop)
    }

    /// Attaches a tree at `place`.
    pub(super) fn attach(tree: &OwnedFd, place: &Path) -> io::Result<()> {
        let place = CString::new(place.as_os_str().as_bytes())?;
        // SAFETY: both paths are strings, and the call writes nothing.
        result(unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                tree.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                place.as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH,
            )
        })
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_below_ours_has_our_numbers() {
        assert_eq!(
            same_numbers("         0       1000          1\n         1     100000      65536\n"),
            "0 0 1\n1 1 65536\n"
        );
    }
}
