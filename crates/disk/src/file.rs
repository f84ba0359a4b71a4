// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opening what a user gives as a disk.

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use cki_session::Disk;

use crate::error::{DiskFileError, Problem};
use crate::format::{Format, SECTOR, qcow2_size};
use crate::lock::{GLANCE, lock};
use crate::option::DiskOption;

/// Who reads the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The emulator: files, raw and qcow2.
    Emulator,
    /// The launcher: files and block devices, raw.
    Launcher,
}

/// A disk that is open, and locked until the last descriptor of it is closed.
#[derive(Debug)]
pub struct DiskFile {
    /// For reading, and unless it is read-only for writing.
    pub file: File,
    /// Its format.
    pub format: Format,
    /// It is not to be written.
    pub is_read_only: bool,
}

/// Opens a disk, which has one writer or any number of readers until it is closed.
///
/// # Errors
/// [`DiskFileError`], with what to do about it.
pub fn open(option: &DiskOption, reader: Reader) -> Result<DiskFile, DiskFileError> {
    opened_as(option)
        .and_then(|file| judged(file, option, reader))
        .map_err(|problem| DiskFileError {
            name: option.path.clone(),
            problem,
        })
}

/// Takes a disk that whoever started the launcher has opened, as [`open`] would: whoever opens a device for writing
/// asks for it alone (O_EXCL). Its bytes are those of the disk.
///
/// # Errors
/// [`DiskFileError`], with what to do about it.
pub fn take(file: File, disk: &Disk) -> Result<DiskFile, DiskFileError> {
    let option = DiskOption {
        is_read_only: disk.read_only,
        ..DiskOption::raw(&disk.serial)
    };
    judged(file, &option, Reader::Launcher).map_err(|problem| DiskFileError {
        name: option.path,
        problem,
    })
}

fn opened_as(option: &DiskOption) -> Result<File, Problem> {
    let file = opened(&option.path, option.is_read_only, 0)?;
    if file.metadata()?.file_type().is_block_device() && !option.is_read_only {
        // The kernel knows who else writes a device or a part of it: a mounted file system, a loop device, another
        // container by another name of it. Of files, the flag says nothing.
        return opened(&option.path, option.is_read_only, libc::O_EXCL);
    }
    Ok(file)
}

/// What there is to say against a file that is open as the option says.
fn judged(mut file: File, option: &DiskOption, reader: Reader) -> Result<DiskFile, Problem> {
    let kind = file.metadata()?.file_type();
    match (kind.is_file(), kind.is_block_device(), reader) {
        (true, _, _) | (_, true, Reader::Launcher) => {}
        (_, _, Reader::Launcher) => return Err(Problem::Kind(NO_DISK)),
        (_, _, Reader::Emulator) => return Err(Problem::Kind(NO_FILE)),
    }
    let patience = match kind.is_block_device() {
        true => GLANCE,
        false => Duration::ZERO,
    };
    lock(&file, option.is_read_only, patience)?;
    let format = Format::of(&option.path, option.format, &file)?;
    // Unlike the length in the metadata, this is right for a block device too.
    let length = file.seek(SeekFrom::End(0))?;
    match (format, reader) {
        (Format::Raw, _) if length == 0 => return Err(Problem::Empty),
        (Format::Raw, _) if length % SECTOR != 0 => return Err(Problem::Sectors(length)),
        (Format::Raw, _) => {}
        (Format::Qcow2, Reader::Emulator) => drop(qcow2_size(&file, length)?),
        (Format::Qcow2, Reader::Launcher) => return Err(Problem::RawOnly),
    }
    Ok(DiskFile {
        file,
        format,
        is_read_only: option.is_read_only,
    })
}

const NO_DISK: &str = "no file and no block device; give one of them";
const NO_FILE: &str = "no file; give one, made for instance with `truncate -s 1G FILE`";

fn opened(path: &Path, is_read_only: bool, flags: i32) -> Result<File, Problem> {
    let mut options = File::options();
    // Without the flag, a FIFO would be waited for.
    let options = options
        .read(true)
        .write(!is_read_only)
        .custom_flags(libc::O_NONBLOCK | flags);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => missing(path),
        ErrorKind::ResourceBusy => Problem::InUse,
        ErrorKind::PermissionDenied if is_read_only => Problem::Denied("reading"),
        ErrorKind::PermissionDenied => Problem::Denied("writing"),
        ErrorKind::ReadOnlyFilesystem => Problem::ReadOnly,
        ErrorKind::IsADirectory => Problem::Kind("a directory; give a file in it"),
        _ => Problem::Other(error),
    })
}

/// Nothing is at `path`. A word that is misspelt has been taken for a part of the name, as names may have colons.
fn missing(path: &Path) -> Problem {
    let text = path.to_string_lossy();
    let mut parts = text
        .match_indices(':')
        .map(|(at, _)| (&text[..at], &text[at + 1..]));
    match parts.find(|(file, _)| Path::new(file).is_file()) {
        Some((file, word)) => Problem::Word {
            file: file.into(),
            word: word.to_owned(),
        },
        None => Problem::Missing,
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
