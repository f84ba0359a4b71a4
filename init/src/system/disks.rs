// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks of the user's, which have what was written to them when the session is over.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cki_session::DISK_SERIAL;
use nix::mount::{MntFlags, umount2};

use crate::system::unhung::{self, DiskCounts, Left};

/// The disks of this machine or container that can be written.
#[derive(Debug)]
pub struct Disks {
    disks: Vec<Disk>,
    /// None where `/proc` is not mounted.
    counts: Option<DiskCounts>,
}

#[derive(Debug)]
struct Disk {
    serial: String,
    /// What the kernel calls it, such as vdb.
    name: String,
    file: File,
}

impl Disks {
    /// Opens them, as they are known below `sysfs` and `dev`, before a program could hide them.
    ///
    /// # Errors
    /// When one is not to be opened.
    pub fn open(sysfs: &Path, dev: &Path) -> io::Result<Self> {
        let mut disks = Vec::new();
        // A kernel without block devices has none.
        for entry in fs::read_dir(sysfs.join("block")).into_iter().flatten() {
            let entry = entry?;
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let serial = read("serial").trim().to_owned();
            if serial.starts_with(DISK_SERIAL) && read("ro").trim() == "0" {
                let name = entry.file_name();
                disks.push(Disk {
                    serial,
                    file: File::open(dev.join(&name))?,
                    name: name.to_string_lossy().into_owned(),
                });
            }
        }
        Ok(Disks {
            disks,
            counts: DiskCounts::open().ok(),
        })
    }

    /// Has everything that was written to them, and to file systems on them, where a cut of the power does not
    /// reach it, and unmounts these file systems, so that whoever has the disk next does not find them as after a
    /// crash: ext4 with a journal to be played is not mounted on a disk that cannot be written. One that a program
    /// still uses stays mounted.
    ///
    /// That takes as long as the disks need, but no longer than [`unhung::LIMIT`] in which none of them finishes
    /// anything: what a program has left may never come to an end, such as a file system whose device it has stopped.
    ///
    /// # Errors
    /// A sentence that names the disk of which that cannot be said.
    pub fn settle(mut self) -> Result<(), String> {
        let mut counts = self.counts.take();
        let progress = || counts.as_mut().map_or_else(Vec::new, DiskCounts::read);
        self.settle_within(unhung::LIMIT, progress, Self::write_all)
    }

    fn settle_within(
        self,
        limit: Duration,
        progress: impl FnMut() -> Vec<u64>,
        work: impl FnOnce(&Self) -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        if self.disks.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.disks.iter().map(|disk| &*disk.serial).collect();
        let names = names.join(" or ");
        unhung::within(limit, progress, move || work(&self)).unwrap_or_else(|left| {
            let why = match left {
                Left::Behind => format!("for {} s no disk has finished anything", limit.as_secs()),
                Left::Broken => "writing it broke off".to_owned(),
            };
            Err(format!(
                "not all that was written to the disk {names} is on it: {why}"
            ))
        })
    }

    fn write_all(&self) -> Result<(), String> {
        // The program may have unmounted /proc, or mounted something over it.
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mounts = String::from_utf8_lossy(&mounts);
        for Disk { name, .. } in &self.disks {
            for target in mounted(&mounts, name) {
                let _ = umount2(&target, MntFlags::UMOUNT_NOFOLLOW);
            }
        }
        // File systems that are still mounted, which write to the disks.
        nix::unistd::sync();
        for Disk { serial, file, .. } in &self.disks {
            file.sync_all().map_err(|error| {
                format!("not all that was written to the disk {serial} is on it: {error}")
            })?;
        }
        Ok(())
    }
}

/// Where `mounts`, a text as proc_pid_mountinfo(5) describes it, has file systems of the disk `name` or a partition
/// of it, the last one first: what is mounted below another comes later.
fn mounted(mounts: &str, name: &str) -> Vec<PathBuf> {
    let target = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let source = file_system.split(' ').nth(1)?;
        let part = source.strip_prefix("/dev/")?.strip_prefix(name)?;
        let is_of_the_disk = part.bytes().all(|byte| byte.is_ascii_digit());
        let target = mount.split(' ').nth(4).filter(|_| is_of_the_disk)?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(unescaped(
            target,
        ))))
    };
    mounts.lines().rev().filter_map(target).collect()
}

/// A path of the kernel's, in which blanks, line ends and backslashes are written as `\\` and three octal digits.
fn unescaped(path: &str) -> Vec<u8> {
    let mut parts = path.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(digits, 8));
        bytes.extend(rest.bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Disks {
        /// A disk that is this file, from which nothing is mounted.
        fn of(serial: &str, file: &str) -> Self {
            let disk = Disk {
                serial: serial.to_owned(),
                name: "no-disk".to_owned(),
                file: File::open(file).unwrap(),
            };
            Disks {
                disks: vec![disk],
                counts: None,
            }
        }
    }

    #[test]
    fn file_systems_of_a_disk_and_its_partitions_are_found_the_last_one_first() {
        let mounts = "\
            22 1 0:20 / / rw - overlay overlay rw\n\
            30 22 254:16 / /mnt rw,relatime - ext4 /dev/vdb rw\n\
            31 30 254:17 / /mnt/a\\040b\\134c rw shared:1 - ext4 /dev/vdb1 rw\n\
            32 22 254:32 / /other rw - ext4 /dev/vdc rw\n\
            33 22 254:33 / /many rw - ext4 /dev/vdbb rw\n\
            34 22 0:30 / /t rw - tmpfs /dev/vdb-no rw\n";
        let found = mounted(mounts, "vdb");
        assert_eq!(
            found,
            [r"/mnt/a b\c", "/mnt"].map(PathBuf::from),
            "{found:?}"
        );
        assert!(mounted(mounts, "vdd").is_empty());
    }

    #[test]
    fn the_users_disks_that_can_be_written_are_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        fs::create_dir(&dev).unwrap();
        assert!(Disks::open(&sysfs, &dev).unwrap().disks.is_empty());
        for (name, serial, ro) in [
            ("vda", "cki-app", "0"),
            ("vdb", "cki-disk0", "0"),
            ("vdc", "cki-disk1", "1"),
        ] {
            let block = sysfs.join("block").join(name);
            fs::create_dir_all(&block).unwrap();
            fs::write(block.join("serial"), serial).unwrap();
            fs::write(block.join("ro"), format!("{ro}\n")).unwrap();
        }
        assert!(Disks::open(&sysfs, &dev).is_err());
        fs::write(dev.join("vdb"), "x").unwrap();
        let disks = Disks::open(&sysfs, &dev).unwrap();
        assert_eq!(disks.disks.len(), 1);
        disks.settle().unwrap();
        // What cannot be synced is named.
        let broken = Disks::of("cki-disk0", "/dev/null");
        assert!(broken.settle().unwrap_err().contains("cki-disk0"));
    }

    #[test]
    fn disks_that_do_nothing_are_not_waited_for() {
        let limit = Duration::from_millis(50);
        let (_never, waits) = std::sync::mpsc::channel::<()>();
        let hang = move |_: &Disks| {
            let _ = waits.recv();
            Ok(())
        };
        let disks = Disks::of("cki-disk0", "/dev/null");
        let error = disks.settle_within(limit, || vec![3], hang).unwrap_err();
        assert!(
            error.contains("the disk cki-disk0 is on it: for"),
            "{error}"
        );
    }
}
