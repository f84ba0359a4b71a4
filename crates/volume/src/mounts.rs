// SPDX-License-Identifier: MIT OR Apache-2.0

//! File systems that may be in a volume: those that hold files.
//!
//! Others are the kernel's switches. What guards `/proc/sys`, `/sys` and control groups is that the user is 0 of the
//! whole machine, which a process that root started still is, whatever its capabilities and namespace.

/// Where the volume is while its mounts are listed ([`crate::sandbox::enter`]).
const PLACE: &str = "/proc/volume";

/// Kinds of file systems that hold files, as the kernel calls them; `fuse` with any kind of its own behind a dot.
const HOLD_FILES: &[&str] = &[
    "9p", "aufs", "bcachefs", "btrfs", "ceph", "cifs", "ecryptfs", "erofs", "exfat", "ext2",
    "ext3", "ext4", "f2fs", "fuse", "fuseblk", "gfs2", "hfs", "hfsplus", "iso9660", "jfs",
    "lustre", "msdos", "nfs", "nfs4", "nilfs2", "ntfs", "ntfs3", "ocfs2", "overlay", "ramfs",
    "reiserfs", "smb3", "squashfs", "tmpfs", "ubifs", "udf", "vboxsf", "vfat", "virtiofs", "xfs",
    "zfs",
];

/// A file system that does not hold files, in a volume or as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a file system of kind {kind:?} is mounted {}, and a volume has none but those that hold files: choose another \
         directory, or unmount it", match .place.as_str() {
    "" => "there".to_owned(),
    place => format!("at {place} in it"),
})]
pub struct ForbiddenMount {
    kind: String,
    /// Below the volume, with the kernel's escapes.
    place: String,
}

/// Whether all mounts at and below [`PLACE`] hold files, by the text of `/proc/self/mountinfo`
/// (`proc_pid_mountinfo(5)`).
///
/// # Errors
/// [`ForbiddenMount`], also when there is no mount at all.
pub(crate) fn check(mountinfo: &[u8]) -> Result<(), ForbiddenMount> {
    let text = String::from_utf8_lossy(mountinfo);
    let mut found = 0;
    for line in text.lines() {
        let Some(place) = line.split(' ').nth(4).and_then(|at| at.strip_prefix(PLACE)) else {
            continue;
        };
        if !(place.is_empty() || place.starts_with('/')) {
            continue;
        }
        found += 1;
        // The fields before the dash vary in number, and none of them is a dash.
        let kind = line.split_once(" - ").map_or("", |(_, rest)| rest);
        let kind = kind.split(' ').next().unwrap_or_default();
        let family = kind.split('.').next().unwrap_or_default();
        if !HOLD_FILES.contains(&kind) && family != "fuse" {
            return Err(ForbiddenMount {
                kind: kind.to_owned(),
                place: place.to_owned(),
            });
        }
    }
    match found {
        0 => Err(ForbiddenMount {
            kind: "none".to_owned(),
            place: String::new(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(of: &[(&str, &str)]) -> Vec<u8> {
        let line = |(place, kind): &(&str, &str)| {
            format!("36 35 98:0 /a /proc{place} rw,nosuid master:1 - {kind} /dev/x rw\n")
        };
        of.iter().map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn file_systems_that_hold_files_are_served() {
        let outside = [("/proc", "proc"), ("", "tmpfs"), ("/volumes", "sysfs")];
        for kind in ["ext4", "tmpfs", "fuse.sshfs", "overlay", "btrfs", "nfs4"] {
            let served = [("/volume", "xfs"), ("/volume/a b", kind)];
            assert_eq!(check(&mounts(&[&outside[..], &served].concat())), Ok(()));
        }
    }

    #[test]
    fn the_kernels_switches_are_not_at_any_depth() {
        for kind in [
            "proc", "sysfs", "cgroup2", "bpf", "debugfs", "devtmpfs", "efivarfs", "", "ext4x",
            "fusectl",
        ] {
            for place in ["", "/a", "/a/b/c"] {
                let at = format!("/volume{place}");
                let error = check(&mounts(&[("/volume", "ext4"), (&at, kind)])).unwrap_err();
                let expected = ForbiddenMount {
                    kind: kind.to_owned(),
                    place: place.to_owned(),
                };
                assert_eq!(error, expected);
                assert!(error.to_string().contains(kind), "{error}");
            }
        }
        assert!(check(&mounts(&[("/proc", "proc")])).is_err());
        assert!(check(b"").is_err());
    }
}
