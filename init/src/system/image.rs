// SPDX-License-Identifier: MIT OR Apache-2.0

//! The application image: an EROFS file system, or several as the partitions of a disk (its layers), below a
//! tmpfs, made the root file system.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cki_erofs::{Disk, START};
use nix::mount::MsFlags;

use crate::system::mounts::{MountError, make_directory, mount_at, switch_root};

/// Between two looks for a disk.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Why the disk is no application image that can be run.
#[derive(Debug, thiserror::Error)]
pub enum ImageDiskError {
    /// No disk carries [`cki_session::APP_SERIAL`].
    #[error(
        "the machine has no application disk (virtio-blk serial {})",
        cki_session::APP_SERIAL
    )]
    NoDisk,
    /// The disk cannot be read.
    #[error("cannot read the application image: {0}")]
    Read(#[from] io::Error),
    /// The disk holds something else.
    #[error("the application image is no EROFS file system")]
    Foreign,
    /// The disk has a partition table, but the kernel found no partitions.
    #[error("the application image has no layers: its partition table is empty or damaged")]
    NoLayers,
    /// The disk ends before what is on it does.
    #[error("the application image is truncated: {actual} bytes of {expected}")]
    Truncated {
        /// Bytes that the superblock or the partition table announces.
        expected: u64,
        /// Bytes the disk has.
        actual: u64,
    },
    /// The kernel refused a mount.
    #[error("the application image cannot be used: {0}")]
    Mount(#[from] MountError),
    /// The mounted tree could not be made the root.
    #[error("cannot enter the application image: {0}")]
    Enter(io::Error),
}

/// The disk with the serial number `serial`, as `/dev/vda`, looked up below `sysfs`.
///
/// # Errors
/// [`ImageDiskError::NoDisk`] when there is none.
pub fn find_disk(sysfs: &Path, dev: &Path, serial: &str) -> Result<PathBuf, ImageDiskError> {
    let disks = fs::read_dir(sysfs.join("block")).map_err(|_| ImageDiskError::NoDisk)?;
    disks
        .flatten()
        .find(|disk| has_serial(&disk.path(), serial))
        .map(|disk| dev.join(disk.file_name()))
        .ok_or(ImageDiskError::NoDisk)
}

/// Whether the disk below `block` has this serial number: virtio-blk gives it as a file, SCSI as page 0x80 of the vital
/// product data (SPC-4, section 7.8.15: four bytes of header, then the number).
fn has_serial(block: &Path, serial: &str) -> bool {
    let virtio = fs::read_to_string(block.join("serial")).is_ok_and(|found| found.trim() == serial);
    let page = || fs::read(block.join("device/vpd_pg80")).unwrap_or_default();
    virtio
        || page()
            .get(4..)
            .is_some_and(|found| found.trim_ascii() == serial.as_bytes())
}

/// As [`find_disk`], for a disk that is plugged in just now.
///
/// # Errors
/// [`ImageDiskError::NoDisk`] when there is none after so much time.
pub fn wait_for_disk(
    sysfs: &Path,
    dev: &Path,
    serial: &str,
    patience: Duration,
) -> Result<PathBuf, ImageDiskError> {
    let start = Instant::now();
    loop {
        match find_disk(sysfs, dev, serial) {
            Err(ImageDiskError::NoDisk) if start.elapsed() < patience => {}
            found => return found,
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What is on a disk. Refuses one that is no complete image, before the kernel gives a vaguer answer.
///
/// # Errors
/// [`ImageDiskError::Foreign`], [`ImageDiskError::Truncated`], [`ImageDiskError::Read`].
pub fn check(disk: &mut (impl Read + Seek)) -> Result<Disk, ImageDiskError> {
    let actual = disk.seek(SeekFrom::End(0))?;
    disk.rewind()?;
    let mut start = Vec::new();
    disk.take(START as u64).read_to_end(&mut start)?;
    let found = Disk::parse(&start).ok_or(ImageDiskError::Foreign)?;
    let expected = found.size();
    if actual < expected {
        return Err(ImageDiskError::Truncated { expected, actual });
    }
    Ok(found)
}

/// The partitions of `disk` (`/dev/vda`) in the order of their numbers, looked up below `sysfs`.
///
/// # Errors
/// [`ImageDiskError::NoLayers`] when there are none, [`ImageDiskError::Read`].
pub fn partitions(sysfs: &Path, disk: &Path) -> Result<Vec<PathBuf>, ImageDiskError> {
    let name = disk.file_name().unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(sysfs.join("block").join(name))? {
        let entry = entry?;
        let Ok(number) = fs::read_to_string(entry.path().join("partition")) else {
            continue;
        };
        if let Ok(number) = number.trim().parse::<u32>() {
            found.push((number, disk.with_file_name(entry.file_name())));
        }
    }
    if found.is_empty() {
        return Err(ImageDiskError::NoLayers);
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The file systems of the image on `disk`, the lowest layer first.
fn layers(disk: &Path) -> Result<Vec<PathBuf>, ImageDiskError> {
    let layers = match check(&mut File::open(disk)?)? {
        Disk::Whole { .. } => return Ok(vec![disk.to_owned()]),
        Disk::Layers { .. } => partitions(Path::new("/sys"), disk)?,
    };
    for layer in &layers {
        check(&mut File::open(layer)?)?;
    }
    Ok(layers)
}

/// Mounts the image on `disk` below a tmpfs and makes it the root of this process.
///
/// # Errors
/// [`ImageDiskError`]; the machine is then of no use, because some of the mounts may be done.
pub fn enter(disk: &Path) -> Result<(), ImageDiskError> {
    let base = Path::new("/image");
    let mut lower = Vec::new();
    for (number, layer) in (1..).zip(layers(disk)?) {
        let place = base.join(format!("lower/{number}"));
        let source = layer.display().to_string();
        mount_at(&source, "erofs", &place, MsFlags::MS_RDONLY, "")?;
        lower.push(place.display().to_string());
    }
    // The uppermost comes first.
    lower.reverse();
    let (layer, root) = (base.join("layer"), base.join("root"));
    mount_at("cki", "tmpfs", &layer, MsFlags::empty(), "mode=755")?;
    for part in ["upper", "work"] {
        make_directory(&layer.join(part), 0o755)?;
    }
    // A volatile upper layer skips every sync: it ends with the machine anyway.
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        lower.join(":"),
        layer.join("upper").display(),
        layer.join("work").display()
    );
    mount_at("cki", "overlay", &root, MsFlags::empty(), &options)?;
    switch_root(&root).map_err(ImageDiskError::Enter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_erofs::MAGIC;
    use std::io::Cursor;

    /// The start of an EROFS image of `blocks` blocks of 4 KiB.
    fn image(blocks: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[1024..1028].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[1036] = 12;
        bytes[1060..1064].copy_from_slice(&blocks.to_le_bytes());
        bytes
    }

    #[test]
    fn a_complete_image_is_accepted_and_may_be_padded() {
        check(&mut Cursor::new(image(1))).unwrap();
        let mut padded = image(1);
        padded.resize(1 << 20, 0);
        check(&mut Cursor::new(padded)).unwrap();
    }

    #[test]
    fn a_truncated_image_is_refused_with_both_sizes() {
        let error = check(&mut Cursor::new(image(3))).unwrap_err();
        assert!(
            matches!(
                error,
                ImageDiskError::Truncated {
                    expected: 12288,
                    actual: 4096
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_foreign_image_is_refused() {
        for foreign in [vec![], vec![0; 512], vec![0; 1 << 16], {
            let mut odd = image(1);
            odd[1036] = 60; // would shift the size out of its 64 bits
            odd
        }] {
            let error = check(&mut Cursor::new(foreign)).unwrap_err();
            assert!(matches!(error, ImageDiskError::Foreign), "{error}");
        }
    }

    #[test]
    fn layers_are_the_partitions_in_the_order_of_their_numbers() {
        let sysfs = tempfile::tempdir().unwrap();
        let disk = sysfs.path().join("block/vda");
        for number in [1, 2, 10] {
            let partition = disk.join(format!("vda{number}"));
            fs::create_dir_all(&partition).unwrap();
            fs::write(partition.join("partition"), format!("{number}\n")).unwrap();
        }
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::create_dir_all(sysfs.path().join("block/vdb")).unwrap();
        let found = partitions(sysfs.path(), Path::new("/dev/vda")).unwrap();
        assert_eq!(
            found,
            ["/dev/vda1", "/dev/vda2", "/dev/vda10"].map(PathBuf::from)
        );
        let error = partitions(sysfs.path(), Path::new("/dev/vdb")).unwrap_err();
        assert!(matches!(error, ImageDiskError::NoLayers), "{error}");
    }

    #[test]
    fn a_table_of_layers_is_told_from_a_file_system() {
        let mut disk = image(1);
        assert_eq!(
            check(&mut Cursor::new(&disk)).unwrap(),
            Disk::Whole { size: 4096 }
        );
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[544] = 7;
        assert_eq!(
            check(&mut Cursor::new(&disk)).unwrap(),
            Disk::Layers { size: 4096 }
        );
    }

    #[test]
    fn the_disk_is_found_by_its_serial_number() {
        let sysfs = tempfile::tempdir().unwrap();
        for (disk, serial) in [
            ("vda", Some("other")),
            ("vdb", Some("cki-app")),
            ("loop0", None),
        ] {
            let path = sysfs.path().join("block").join(disk);
            fs::create_dir_all(&path).unwrap();
            if let Some(serial) = serial {
                fs::write(path.join("serial"), serial).unwrap();
            }
        }
        let scsi = sysfs.path().join("block/sda/device");
        fs::create_dir_all(&scsi).unwrap();
        fs::write(scsi.join("vpd_pg80"), b"\0\x80\0\x06disk-7").unwrap();
        let find = |serial| find_disk(sysfs.path(), Path::new("/dev"), serial);
        assert_eq!(find("cki-app").unwrap(), Path::new("/dev/vdb"));
        assert_eq!(find("disk-7").unwrap(), Path::new("/dev/sda"));
        let error = find_disk(sysfs.path(), Path::new("/dev"), "absent").unwrap_err();
        assert!(matches!(error, ImageDiskError::NoDisk));
    }
}
