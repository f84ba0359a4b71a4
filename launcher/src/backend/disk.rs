// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens what a user gives as a disk, and takes what is open already.

use std::fs::File;
use std::path::Path;

use cki_disk::{DiskFile, DiskFileError, DiskOption, Reader};
use cki_session::Disk;

use super::file::RawFile;
use crate::virtio::storage::Storage;

/// Opens a disk, which has one writer or any number of readers until it is dropped.
///
/// # Errors
/// [`DiskFileError`], with what to do about it.
pub fn open(option: &DiskOption) -> Result<Box<dyn Storage>, DiskFileError> {
    storage(cki_disk::open(option, Reader::Launcher)?, &option.path)
}

/// Takes a disk that whoever started the launcher has opened.
///
/// # Errors
/// As [`open`].
pub fn take(file: File, disk: &Disk) -> Result<Box<dyn Storage>, DiskFileError> {
    storage(cki_disk::take(file, disk)?, disk.serial.as_ref())
}

fn storage(disk: DiskFile, name: &Path) -> Result<Box<dyn Storage>, DiskFileError> {
    let storage = RawFile::new(disk.file, disk.is_read_only);
    let storage = storage.map_err(|error| DiskFileError {
        name: name.to_owned(),
        problem: error.into(),
    })?;
    // What is read only is likely to be read by others, too: they share what the host keeps of it.
    Ok(match disk.is_read_only {
        true => Box::new(storage),
        false => Box::new(storage.past_the_cache()),
    })
}
