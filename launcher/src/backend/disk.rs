// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens what a user gives as a disk.

use cki_disk::{DiskError, DiskOption, Reader};

use super::file::RawFile;
use crate::virtio::storage::Storage;

/// Opens a disk, which has one writer or any number of readers until it is dropped.
///
/// # Errors
/// [`DiskError`], with what to do about it.
pub fn open(option: &DiskOption) -> Result<Box<dyn Storage>, DiskError> {
    let disk = cki_disk::open(option, Reader::Launcher)?;
    let storage = RawFile::new(disk.file, disk.is_read_only);
    let storage = storage.map_err(|error| DiskError {
        path: option.path.clone(),
        problem: error.into(),
    })?;
    // What is read only is likely to be read by others, too: they share what the host keeps of it.
    Ok(match disk.is_read_only {
        true => Box::new(storage),
        false => Box::new(storage.past_the_cache()),
    })
}
