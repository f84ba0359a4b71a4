// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks of the user's, which have what was written to them when the session is over.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use cki_session::DISK_SERIAL;

/// The disks of this machine or container that can be written, by their serial numbers.
#[derive(Debug)]
pub struct Disks(Vec<(String, File)>);

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
                let file = File::open(dev.join(entry.file_name()))?;
                disks.push((serial, file));
            }
        }
        Ok(Disks(disks))
    }

    /// Has everything that was written to them, and to file systems on them, where a cut of the power does not
    /// reach it.
    ///
    /// # Errors
    /// A sentence that names the disk of which that cannot be said.
    pub fn settle(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        // File systems, which write to the disks.
        nix::unistd::sync();
        for (serial, disk) in &self.0 {
            disk.sync_all().map_err(|error| {
                format!("not all that was written to the disk {serial} is on it: {error}")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_disks_that_can_be_written_are_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        fs::create_dir(&dev).unwrap();
        assert!(Disks::open(&sysfs, &dev).unwrap().0.is_empty());
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
        assert_eq!(disks.0.len(), 1);
        disks.settle().unwrap();
        // What cannot be synced is named.
        let broken = Disks(vec![(
            "cki-disk0".to_owned(),
            File::open("/dev/null").unwrap(),
        )]);
        assert!(broken.settle().unwrap_err().contains("cki-disk0"));
    }
}
