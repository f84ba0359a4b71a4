// SPDX-License-Identifier: MIT OR Apache-2.0

//! One writer, or any number of readers.
//!
//! Ours is a lock of the open file (flock), which ends with the last descriptor of it, whoever inherited that.
//! QEMU has locks of its own, of single bytes (`block/file-posix.c`), which ours do not exclude: we look for
//! them. Where QEMU gets the file from us, it takes them, too.

use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::Problem;

/// QEMU's locks: bytes of what a user of the image does, and of what it lets no other do.
const QEMU: (i64, i64) = (100, 200);
/// Of the first, the byte of writing.
const QEMU_WRITES: (i64, i64) = (101, 1);

/// Locks `file` until it is closed.
///
/// # Errors
/// [`Problem::InUse`], or what the kernel says.
pub(crate) fn lock(file: &File, is_read_only: bool) -> Result<(), Problem> {
    let how = match is_read_only {
        true => FlockOperation::NonBlockingLockShared,
        false => FlockOperation::NonBlockingLockExclusive,
    };
    flock(file, how).map_err(|error| match error {
        Errno::WOULDBLOCK => Problem::InUse,
        error => Problem::Other(error.into()),
    })?;
    let bytes = match is_read_only {
        true => QEMU_WRITES,
        false => QEMU,
    };
    match is_locked(file, bytes)? {
        true => Err(Problem::InUse),
        false => Ok(()),
    }
}

/// Whether somebody else has locked one of these bytes: the first, and how many.
fn is_locked(file: impl AsFd, (start, length): (i64, i64)) -> Result<bool, Problem> {
    let mut asked = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).map_err(|error| Problem::Other(error.into()))?;
    Ok(asked.l_type != libc::F_UNLCK as i16)
}
