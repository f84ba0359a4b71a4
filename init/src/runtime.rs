// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runtime disk: launcher, module, monitor and guest kernel, from `images/runtime`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use cki_erofs::{LENGTH, OFFSET, Superblock};
use cki_session::{Memory, RUNTIME_SERIAL};
use nix::mount::MsFlags;

use crate::image;
use crate::modules;
use crate::mounts::{MountError, make_directory, mount_at};

/// Where the disk is mounted.
pub const DIRECTORY: &str = "/runtime";
/// UUID of its file system; `images/runtime/package.nix` makes it with this one.
const UUID: [u8; 16] = *b"CKI\0\0\0\x40\0\x80\0\0\0\0\0\0\x01";
/// Why this machine cannot run containers.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No disk is it.
    #[error("the machine has no runtime disk, which containers are started from")]
    NoDisk,
    /// Several partitions have `UUID`, and only one of them can be ours.
    #[error(
        "{0} partitions say that they are the runtime disk; take away the disks that containers wrote"
    )]
    Several(usize),
    /// It cannot be mounted.
    #[error("the runtime disk cannot be used: {0}")]
    Mount(#[from] MountError),
    /// The module was refused.
    #[error("cannot load the module cki: {0}")]
    Module(io::Error),
}

/// Mounts the runtime disk on [`DIRECTORY`] and loads the module with a pool of this size for
/// containers. Early is better: the pool is made of whole free chunks of 2 MiB.
///
/// The module loads on a machine that cannot run containers, too; `/dev/cki` says why not.
///
/// # Errors
/// [`RuntimeError`].
pub fn start(pool: Memory) -> Result<(), RuntimeError> {
    let disk = find(Path::new("/sys"), Path::new("/dev"))?;
    let source = disk.display().to_string();
    mount_at(
        &source,
        "erofs",
        Path::new(DIRECTORY),
        MsFlags::MS_RDONLY,
        "",
    )?;
    let at = |file: &str| format!("{DIRECTORY}/lib/{file}");
    let parameters = format!("pool={}M monitor={}", pool.mib(), at("firmware/cki/ksm"));
    modules::load(Path::new(&at("cki.ko")), &parameters).map_err(RuntimeError::Module)
}

/// Puts the disk's commands where a shell looks for them.
///
/// # Errors
/// Those of `symlink(2)`.
pub fn offer_commands() -> io::Result<()> {
    let place = Path::new("/usr/local/bin");
    make_directory(place, 0o755)?;
    for command in fs::read_dir(format!("{DIRECTORY}/bin"))?.flatten() {
        symlink(command.path(), place.join(command.file_name()))?;
    }
    Ok(())
}

/// The runtime disk: the one that a machine of `cki-build` has for it, by its serial number; on the disk image, which
/// has none, the partition with the file system `UUID`.
///
/// Containers write disks, and images come from anywhere, so what is on a disk of theirs decides nothing: it could say
/// that it is the runtime disk, and the host would load its module.
fn find(sysfs: &Path, dev: &Path) -> Result<PathBuf, RuntimeError> {
    if let Ok(disk) = image::find_disk(sysfs, dev, RUNTIME_SERIAL) {
        return Ok(disk);
    }
    let disks = fs::read_dir(sysfs.join("block")).map_err(|_| RuntimeError::NoDisk)?;
    let mut found: Vec<_> = disks
        .flatten()
        .filter(|disk| !has_our_serial(&disk.path()))
        .filter_map(|disk| image::partitions(sysfs, &dev.join(disk.file_name())).ok())
        .flatten()
        .filter(|partition| is_runtime(partition))
        .collect();
    match (found.pop(), found.len()) {
        (None, _) => Err(RuntimeError::NoDisk),
        (Some(only), 0) => Ok(only),
        (Some(_), more) => Err(RuntimeError::Several(more + 1)),
    }
}

/// Whether the disk below `block` is one that `cki-build` gave the machine.
fn has_our_serial(block: &Path) -> bool {
    fs::read_to_string(block.join("serial")).is_ok_and(|serial| serial.starts_with("cki-"))
}

fn is_runtime(device: &Path) -> bool {
    let mut start = [0; LENGTH];
    let read = File::open(device).and_then(|file| file.read_exact_at(&mut start, OFFSET));
    read.is_ok() && Superblock::parse(&start).is_some_and(|superblock| superblock.uuid == UUID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(uuid: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[1024..1028].copy_from_slice(&cki_erofs::MAGIC.to_le_bytes());
        bytes[1024 + 12] = 12;
        bytes[1072..1072 + uuid.len()].copy_from_slice(uuid);
        bytes
    }

    /// Name, serial number, and what is on the disk, followed by what is on its partitions.
    type Given<'a> = (&'a str, &'a str, &'a [&'a [u8]]);

    /// A machine with these disks.
    fn machine(disks: &[Given<'_>]) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (root.path().join("sys"), root.path().join("dev"));
        fs::create_dir_all(&dev).unwrap();
        for (name, serial, contents) in disks {
            let block = sysfs.join("block").join(name);
            fs::create_dir_all(&block).unwrap();
            fs::write(block.join("serial"), format!("{serial}\n")).unwrap();
            fs::write(dev.join(name), contents[0]).unwrap();
            for (number, content) in (1..).zip(&contents[1..]) {
                let partition = block.join(format!("{name}{number}"));
                fs::create_dir(&partition).unwrap();
                fs::write(partition.join("partition"), number.to_string()).unwrap();
                fs::write(dev.join(format!("{name}{number}")), content).unwrap();
            }
        }
        (root, sysfs, dev)
    }

    #[test]
    fn what_is_on_the_disks_of_containers_and_images_makes_none_the_runtime_disk() {
        let hostile = disk(&UUID);
        let all: &[&[u8]] = &[&hostile, &hostile, &hostile];
        let mut disks = vec![("vda", "cki-app", all), ("vdc", "cki-disk0", all)];
        let (_root, sysfs, dev) = machine(&disks);
        assert!(matches!(find(&sysfs, &dev), Err(RuntimeError::NoDisk)));
        let named: &[&[u8]] = &[b"whatever is on it"];
        disks.push(("vdb", RUNTIME_SERIAL, named));
        let (_root, sysfs, dev) = machine(&disks);
        assert_eq!(find(&sysfs, &dev).unwrap(), dev.join("vdb"));
    }

    #[test]
    fn the_disk_image_has_it_as_the_only_partition_of_its_number() {
        let (ours, other) = (disk(&UUID), disk(&[0; 16]));
        let whole: &[&[u8]] = &[&ours];
        let second: &[&[u8]] = &[b"", &other, &ours];
        let first: &[&[u8]] = &[b"", &ours];
        let mut disks = vec![("vda", "", whole), ("vdb", "", second)];
        let (_root, sysfs, dev) = machine(&disks);
        assert_eq!(find(&sysfs, &dev).unwrap(), dev.join("vdb2"));
        disks.push(("vdc", "", first));
        let (_root, sysfs, dev) = machine(&disks);
        assert!(matches!(find(&sysfs, &dev), Err(RuntimeError::Several(2))));
    }
}
