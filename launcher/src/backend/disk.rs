// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens what a user gives as a disk.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::file::RawFile;
use crate::virtio::storage::Storage;

/// The first bytes of a qcow2 image.
const QCOW2: [u8; 4] = *b"QFI\xfb";
/// Bytes of a sector.
const SECTOR: u64 = 512;

/// A disk as `--disk` takes it: `FILE` or `FILE:ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskArg {
    /// A file or block device, which is the disk as it is.
    pub path: PathBuf,
    /// The container cannot write it.
    pub read_only: bool,
}

impl FromStr for DiskArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, read_only) = match text.strip_suffix(":ro") {
            Some(path) => (path, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        if path.is_empty() {
            return Err("no file is named; FILE or FILE:ro is wanted");
        }
        Ok(DiskArg {
            path: path.into(),
            read_only,
        })
    }
}

/// A disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("disk {}: {problem}", .path.display())]
pub struct DiskError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("there is no such file; make one, for instance with `truncate -s 1G FILE`")]
    Missing,
    #[error("may not be opened for {0}; change its permissions{remedy}", remedy = if *.0 == "writing" { ", or give FILE:ro" } else { "" })]
    Denied(&'static str),
    #[error("lies on a file system that cannot be written; give FILE:ro")]
    ReadOnly,
    #[error("is no file and no block device")]
    Kind,
    #[error("is in use by another container; end that, or give FILE:ro to both")]
    InUse,
    #[error("has not a single sector of 512 bytes")]
    Empty,
    #[error("is a qcow2 image, and disks are raw; convert it with `qemu-img convert -O raw`")]
    Format,
    #[error(transparent)]
    Other(#[from] io::Error),
}

/// Opens a disk, which has one writer or any number of readers until it is dropped.
///
/// # Errors
/// [`DiskError`], with what to do about it.
pub fn open(arg: &DiskArg) -> Result<Box<dyn Storage>, DiskError> {
    judged(arg).map_err(|problem| DiskError {
        path: arg.path.clone(),
        problem,
    })
}

fn judged(arg: &DiskArg) -> Result<Box<dyn Storage>, Problem> {
    let file = opened(&arg.path, arg.read_only)?;
    let is_file = match file.metadata()?.file_type() {
        kind if kind.is_file() => true,
        kind if kind.is_block_device() => false,
        _ => return Err(Problem::Kind),
    };
    let how = match arg.read_only {
        true => FlockOperation::NonBlockingLockShared,
        false => FlockOperation::NonBlockingLockExclusive,
    };
    // Closing the file ends it.
    flock(&file, how).map_err(|error| match error {
        Errno::WOULDBLOCK => Problem::InUse,
        error => Problem::Other(error.into()),
    })?;
    let named = arg.path.extension().is_some_and(|end| end == "qcow2");
    let mut start = [0; QCOW2.len()];
    let begins = file.read_exact_at(&mut start, 0).is_ok() && start == QCOW2;
    if is_file && (named || begins) {
        return Err(Problem::Format);
    }
    let storage: Box<dyn Storage> = Box::new(RawFile::new(file, arg.read_only)?);
    if storage.size() < SECTOR {
        return Err(Problem::Empty);
    }
    Ok(storage)
}

fn opened(path: &Path, read_only: bool) -> Result<File, Problem> {
    let mut options = File::options();
    // Without the flag, a FIFO would be waited for.
    let options = options
        .read(true)
        .write(!read_only)
        .custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Problem::Missing,
        ErrorKind::PermissionDenied if read_only => Problem::Denied("reading"),
        ErrorKind::PermissionDenied => Problem::Denied("writing"),
        ErrorKind::ReadOnlyFilesystem => Problem::ReadOnly,
        ErrorKind::IsADirectory => Problem::Kind,
        _ => Problem::Other(error),
    })
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
