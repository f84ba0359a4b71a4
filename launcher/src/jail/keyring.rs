// SPDX-License-Identifier: MIT OR Apache-2.0

//! The session keyring of whoever started us (session-keyring(7)): its keys are its possessor's, whatever user that
//! becomes.

use std::io;
use std::ptr::null_mut;

use nix::errno::Errno;

/// `keyctl` operations and the keyring that they are about here (linux/keyctl.h).
const JOIN_SESSION_KEYRING: libc::c_long = 1;
const READ: libc::c_long = 11;
const SESSION_KEYRING: libc::c_long = -3;

/// keyctl(2) without a buffer or a name; the keyring's number, or the bytes that there are to be read. Nothing where
/// there are no keys, or where a filter of system calls keeps us from them as it will keep whoever takes us over.
fn keyctl(operation: libc::c_long, keyring: libc::c_long) -> io::Result<Option<usize>> {
    let nothing = null_mut::<libc::c_void>();
    // SAFETY: of the two operations, one has a name, which may be null; the other has a buffer of length 0, which is
    // not written to.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, operation, keyring, nothing, 0usize) };
    match Errno::result(result) {
        Ok(number) => Ok(Some(usize::try_from(number).unwrap_or(0))),
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Leaves it for a new one with nothing in it, which nobody else can join.
pub(super) fn leave() -> io::Result<()> {
    // No name: the null in the place of one.
    keyctl(JOIN_SESSION_KEYRING, 0).map(drop)
}

/// Whether there is a key in ours.
pub(super) fn has_keys() -> io::Result<bool> {
    Ok(keyctl(READ, SESSION_KEYRING)?.is_some_and(|bytes| bytes != 0))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_was_in_the_keyring_is_left_with_it() {
        // A keyring is a thread's.
        let of_a_thread = || {
            leave().unwrap();
            assert!(!has_keys().unwrap());
            // SAFETY: the three texts end with a null, and the payload has so many bytes.
            let added = unsafe {
                libc::syscall(
                    libc::SYS_add_key,
                    c"user".as_ptr(),
                    c"cki-test".as_ptr(),
                    c"secret".as_ptr(),
                    6usize,
                    SESSION_KEYRING,
                )
            };
            if matches!(Errno::result(added), Err(Errno::ENOSYS | Errno::EPERM)) {
                // Here nobody can have keys.
                return;
            }
            assert!(added > 0, "{}", io::Error::last_os_error());
            assert!(has_keys().unwrap());
            leave().unwrap();
            assert!(!has_keys().unwrap());
        };
        thread::spawn(of_a_thread).join().unwrap();
    }
}
