// SPDX-License-Identifier: MIT OR Apache-2.0

//! The runtime disk: launcher, module, monitor and guest kernel, from `images/runtime`.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use cki_erofs::{LENGTH, OFFSET, Superblock};
use cki_session::{Memory, RUNTIME_SERIAL};
use nix::mount::MsFlags;

use crate::system::digest::Digest;
use crate::system::image;
use crate::system::modules;
use crate::system::mounts::{MountError, make_directory, mount_at};

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
    /// Partitions have `UUID`, and none of them holds what it should.
    #[error(
        "{0} partition(s) say that they are the runtime disk, and none holds what this machine was made with \
         (cki.runtime= on the kernel command line): write the disk image anew, or take away disks that containers wrote"
    )]
    Changed(usize),
    /// It cannot be opened.
    #[error("cannot read the runtime disk: {0}")]
    Read(io::Error),
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
/// Without a disk that has its serial number, it is the partition that holds `content`; if there is none, none is.
///
/// The module loads on a machine that cannot run containers, too; `/dev/cki` says why not.
///
/// # Errors
/// [`RuntimeError`].
pub fn start(pool: Memory, content: Option<&Digest>) -> Result<(), RuntimeError> {
    let disk = find(Path::new("/sys"), Path::new("/dev"), content)?;
    // What was looked at is mounted, whatever has that name in /dev by now.
    let source = format!("/proc/self/fd/{}", disk.as_raw_fd());
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

/// The runtime disk, open: the one that a machine of `cki-build` has for it, by its serial number; on the disk image,
/// which has none, the partition with the file system `UUID` that holds `content`.
///
/// Containers write disks, and images come from anywhere, so what a disk says of itself decides nothing: it could say
/// that it is the runtime disk, and the host would load its module.
fn find(sysfs: &Path, dev: &Path, content: Option<&Digest>) -> Result<File, RuntimeError> {
    if let Ok(disk) = image::find_disk(sysfs, dev, RUNTIME_SERIAL) {
        return File::open(disk).map_err(RuntimeError::Read);
    }
    let content = content.ok_or(RuntimeError::NoDisk)?;
    let disks = fs::read_dir(sysfs.join("block")).map_err(|_| RuntimeError::NoDisk)?;
    let mut disks: Vec<_> = disks.flatten().map(|disk| disk.file_name()).collect();
    disks.sort();
    let candidates = disks
        .iter()
        .filter_map(|disk| image::partitions(sysfs, &dev.join(disk)).ok())
        .flatten()
        .filter_map(|partition| File::open(partition).ok())
        .filter(is_named_runtime);
    let mut others = 0;
    for candidate in candidates {
        // One that cannot be read, or ends too early, may be anybody's.
        if content.is_start_of(&candidate).unwrap_or(false) {
            return Ok(candidate);
        }
        others += 1;
    }
    Err(match others {
        0 => RuntimeError::NoDisk,
        _ => RuntimeError::Changed(others),
    })
}

/// Whether that is what it says: all of it is read only of such a partition.
fn is_named_runtime(partition: &File) -> bool {
    let mut start = [0; LENGTH];
    partition.read_exact_at(&mut start, OFFSET).is_ok()
        && Superblock::parse(&start).is_some_and(|superblock| superblock.uuid == UUID)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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

    /// The file that `find` opened, by its name in `dev`.
    fn name(found: Result<File, RuntimeError>) -> String {
        let file = found.unwrap();
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_on_the_disks_of_containers_and_images_makes_none_the_runtime_disk() {
        let hostile = disk(&UUID);
        let all: &[&[u8]] = &[&hostile, &hostile, &hostile];
        let mut disks = vec![("vda", "cki-app", all), ("vdc", "cki-disk0", all)];
        let (_root, sysfs, dev) = machine(&disks);
        let error = find(&sysfs, &dev, None).unwrap_err();
        assert!(matches!(error, RuntimeError::NoDisk), "{error}");
        let named: &[&[u8]] = &[b"whatever is on it"];
        disks.push(("vdb", RUNTIME_SERIAL, named));
        let (_root, sysfs, dev) = machine(&disks);
        assert_eq!(name(find(&sysfs, &dev, None)), "vdb");
    }

    #[test]
    fn without_a_serial_number_it_is_the_partition_with_that_content_on_whichever_disk() {
        let ours = disk(&UUID);
        let mut hostile = ours.clone();
        hostile[4095] = 1;
        let digest = Digest::of(&ours);
        // A boot disk may have any serial number; a whole disk is none of the image's.
        let all: &[&[u8]] = &[&ours, &hostile, &hostile, &ours[..2048]];
        let image: &[&[u8]] = &[b"", b"", &ours];
        let mut disks = vec![("vda", "", all), ("vdc", "", all)];
        let (_root, sysfs, dev) = machine(&disks);
        let error = find(&sysfs, &dev, Some(&digest)).unwrap_err();
        assert!(matches!(error, RuntimeError::Changed(6)), "{error}");
        assert!(error.to_string().contains("6 partition(s)"), "{error}");
        for serial in ["", "cki-mine"] {
            disks.truncate(2);
            disks.push(("vdb", serial, image));
            let (_root, sysfs, dev) = machine(&disks);
            assert_eq!(name(find(&sysfs, &dev, Some(&digest))), "vdb2");
        }
        disks.drain(..2);
        let (_root, sysfs, dev) = machine(&disks);
        let error = find(&sysfs, &dev, None).unwrap_err();
        assert!(matches!(error, RuntimeError::NoDisk), "{error}");
    }
}
