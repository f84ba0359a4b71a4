// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disks that the user gives a program.

use std::fs::File;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use cki_disk::{DiskFileError, DiskOption, Reader};
use cki_machine::UserDisk;
use cki_session::{Disk, disk_serial};

/// They cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum DisksError {
    /// One of them.
    #[error(transparent)]
    Disk(#[from] DiskFileError),
    /// A block device, of which only containers on a host of one's own get some.
    #[error(
        "disk {}: is a block device, which `cki run` takes and `cki-build` does not; give a file, made for instance \
         with `truncate -s 1G FILE`",
        .0.display()
    )]
    Device(PathBuf),
    /// The machine has no room for them.
    #[error(
        "{0} disks, and there is room for {most}; make partitions on one of them, or leave some out",
        most = UserDisk::MOST
    )]
    Many(usize),
}

/// Opens the disks: what the machine is told of them, and the files, which are locked until they are closed.
///
/// # Errors
/// [`DisksError`].
pub fn open(options: &[DiskOption]) -> Result<(Vec<UserDisk>, Vec<File>), DisksError> {
    if options.len() > UserDisk::MOST {
        return Err(DisksError::Many(options.len()));
    }
    let open = |option: &DiskOption| -> Result<_, DisksError> {
        // Before it is opened: to change its permissions would not help.
        let kind = option.path.metadata().map(|metadata| metadata.file_type());
        refuse_device(option, kind.is_ok_and(|kind| kind.is_block_device()))?;
        let disk = cki_disk::open(option, Reader::Emulator)?;
        let is_read_only = disk.is_read_only;
        let format = disk.format.name();
        Ok((
            UserDisk {
                format,
                is_read_only,
            },
            disk.file,
        ))
    };
    let opened: Result<Vec<_>, _> = options.iter().map(open).collect();
    Ok(opened?.into_iter().unzip())
}

fn refuse_device(option: &DiskOption, is_block_device: bool) -> Result<(), DisksError> {
    if is_block_device {
        return Err(DisksError::Device(option.path.clone()));
    }
    Ok(())
}

/// What a container is told of these disks of its machine.
#[must_use]
pub fn of_container(options: &[DiskOption]) -> Vec<Disk> {
    let disk = |(number, option): (usize, &DiskOption)| Disk {
        serial: disk_serial(number),
        read_only: option.is_read_only,
        rates: option.rates,
    };
    options.iter().enumerate().map(disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_device_is_refused_as_one() {
        let option: DiskOption = "/dev/sda:ro".parse().unwrap();
        let text = refuse_device(&option, true).unwrap_err().to_string();
        assert!(
            text.starts_with("disk /dev/sda: is a block device"),
            "{text}"
        );
        assert!(refuse_device(&option, false).is_ok());
    }

    #[test]
    fn the_machine_and_the_container_have_the_same_disks() {
        let dir = tempfile::tempdir().unwrap();
        let option = |name: &str, words: &str| -> DiskOption {
            let path = dir.path().join(name);
            if !path.exists() {
                std::fs::write(&path, [0; 512]).unwrap();
            }
            format!("{}{words}", path.display()).parse().unwrap()
        };
        let mut options = vec![option("a", ":write-iops=7"), option("b", ":ro")];
        let (disks, files) = open(&options).unwrap();
        let read_only = |disk: &UserDisk| disk.is_read_only;
        assert_eq!(
            disks.iter().map(read_only).collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!((disks[0].format, files.len()), ("raw", 2));
        let told = of_container(&options);
        assert_eq!(Disk::check_all(&told), Ok(()));
        assert_eq!((&*told[1].serial, told[1].read_only), ("cki-disk1", true));
        let limits: Vec<_> = told.iter().map(|disk| disk.rates.to_string()).collect();
        assert_eq!(limits, [":write-iops=7", ""]);
        drop(files);
        options.push(option("c", ""));
        let error = open(&options).unwrap_err().to_string();
        assert!(
            error.contains("3 disks") && error.contains("room for 2"),
            "{error}"
        );
        let twice = [option("a", ""), option("a", "")];
        let error = open(&twice).unwrap_err().to_string();
        assert!(error.contains("given twice"), "{error}");
    }
}
