// SPDX-License-Identifier: MIT OR Apache-2.0

//! One writer, or any number of readers.
//!
//! Ours is a lock of the open file (flock), which ends with the last descriptor of it, whoever inherited that.
//! QEMU has locks of its own, of single bytes (`block/file-posix.c`), which ours does not exclude: we take those of
//! a virtual machine with this disk, and look for those that others have. They are of the open file as well, so
//! they are QEMU's own where it gets the file from us.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::Problem;

/// The first bytes of QEMU's locks: of what a user of the image does, and of what it lets no other do. Each is
/// followed by those of other permissions (`BLK_PERM_*` in `include/block/block-common.h`).
const DOES: i64 = 100;
const REFUSES: i64 = 200;
/// The permissions that matter here: what is read is what was written, writing, another size.
const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// How long udev may look at a block device, which it locks meanwhile.
pub(crate) const GLANCE: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Locks `file` until it is closed. Whoever has it has so much time to give it up.
///
/// # Errors
/// [`Problem::InUse`], or what the kernel says.
pub(crate) fn lock(file: &File, is_read_only: bool, patience: Duration) -> Result<(), Problem> {
    let how = match is_read_only {
        true => FlockOperation::NonBlockingLockShared,
        false => FlockOperation::NonBlockingLockExclusive,
    };
    let start = Instant::now();
    loop {
        match flock(file, how) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if start.elapsed() < patience => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Err(Problem::InUse),
            Err(error) => return Err(Problem::Other(error.into())),
        }
    }
    // First ours, then a look for those of others, as QEMU does: of two who begin at once, one sees the other.
    for byte in [DOES + READ, REFUSES + WRITE, REFUSES + RESIZE] {
        share(file, byte)?;
    }
    let others = match is_read_only {
        true => vec![(DOES + WRITE, 1), (REFUSES + READ, 1)],
        false => {
            share(file, DOES + WRITE)?;
            share(file, DOES + RESIZE)?;
            // Whatever QEMU does with it.
            vec![(DOES, 2 * (REFUSES - DOES))]
        }
    };
    for bytes in others {
        if is_locked(file, bytes)? {
            return Err(Problem::InUse);
        }
    }
    Ok(())
}

/// What is asked of `length` bytes from `start` on.
fn bytes(kind: i32, (start, length): (i64, i64)) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

/// Locks a byte as all that QEMU locks is, for whoever wants it, too.
fn share(file: impl AsFd, byte: i64) -> Result<(), Problem> {
    let wanted = bytes(libc::F_RDLCK, (byte, 1));
    match fcntl(file, FcntlArg::F_OFD_SETLK(&wanted)) {
        Ok(_) => Ok(()),
        // Nobody of QEMU's locks a byte for itself.
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(Problem::InUse),
        Err(error) => Err(Problem::Other(error.into())),
    }
}

/// Whether somebody else has locked one of these bytes: the first, and how many.
fn is_locked(file: impl AsFd, range: (i64, i64)) -> Result<bool, Problem> {
    let mut asked = bytes(libc::F_WRLCK, range);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut asked)).map_err(|error| Problem::Other(error.into()))?;
    Ok(asked.l_type != libc::F_UNLCK as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_looks_at_a_device_is_waited_for_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, [1; 512]).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let other = open();
        flock(&other, FlockOperation::LockShared).unwrap();
        let refused = lock(&open(), false, Duration::ZERO).unwrap_err();
        assert!(matches!(refused, Problem::InUse), "{refused}");
        let refused = lock(&open(), false, 3 * PAUSE).unwrap_err();
        assert!(matches!(refused, Problem::InUse), "{refused}");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| lock(&open(), false, Duration::from_secs(60)));
            drop(other);
            waits.join().unwrap().unwrap();
        });
    }
}
