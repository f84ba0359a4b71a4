// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runtime disk: launcher, module, monitor and guest kernel, from `images/runtime`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use cki_erofs::{LENGTH, OFFSET, Superblock};
use cki_session::Memory;
use nix::mount::MsFlags;

use crate::modules;
use crate::mounts::{MountError, make_directory, mount_at};

/// Where the disk is mounted.
pub const DIRECTORY: &str = "/runtime";
/// UUID of its file system; `images/runtime/package.nix` makes it with this one.
const UUID: [u8; 16] = *b"CKI\0\0\0\x40\0\x80\0\0\0\0\0\0\x01";
/// Why this machine cannot run containers.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No disk has `UUID`.
    #[error("the machine has no runtime disk, which containers are started from")]
    NoDisk,
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
    let disk = find(Path::new("/sys"), Path::new("/dev")).ok_or(RuntimeError::NoDisk)?;
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

/// The block device with the file system `UUID`: a whole disk of a machine that `cki-build` starts, a
/// partition of the disk image.
fn find(sysfs: &Path, dev: &Path) -> Option<PathBuf> {
    let devices = fs::read_dir(sysfs.join("class/block")).ok()?;
    devices
        .flatten()
        .map(|device| dev.join(device.file_name()))
        .find(|device| is_runtime(device))
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

    #[test]
    fn the_disk_is_found_by_the_number_of_its_file_system() {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (root.path().join("sys"), root.path().join("dev"));
        fs::create_dir_all(&dev).unwrap();
        for (name, content) in [
            ("loop0", vec![]),
            ("vda", disk(&[0; 16])),
            ("vdb", vec![0; 4096]),
            ("vdc2", disk(&UUID)),
        ] {
            fs::create_dir_all(sysfs.join("class/block").join(name)).unwrap();
            fs::write(dev.join(name), content).unwrap();
        }
        assert_eq!(find(&sysfs, &dev), Some(dev.join("vdc2")));
        fs::remove_file(dev.join("vdc2")).unwrap();
        assert_eq!(find(&sysfs, &dev), None);
    }
}
