// SPDX-License-Identifier: MIT OR Apache-2.0

//! One ioctl.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

/// Makes a call with a number as its argument.
///
/// # Safety
///
/// `request` is one that takes a number, or no argument: the kernel does not take `number` for an address.
///
/// # Errors
///
/// What the module says.
pub unsafe fn with_number(file: &File, request: u64, number: u64) -> io::Result<i32> {
    // SAFETY: the caller vouches for the request.
    result(unsafe { libc::ioctl(file.as_raw_fd(), request as _, number) })
}

/// Makes a call that reads a structure, and writes it if its documentation says so.
///
/// # Safety
///
/// `request` is one that takes a `T` and nothing larger; if its size may grow, the value says it.
///
/// # Errors
///
/// What the module says.
pub unsafe fn with_structure<T>(file: &File, request: u64, structure: &mut T) -> io::Result<i32> {
    // SAFETY: the caller vouches for the request; the structure is borrowed exclusively until it returns.
    result(unsafe {
        libc::ioctl(
            file.as_raw_fd(),
            request as _,
            std::ptr::from_mut(structure),
        )
    })
}

fn result(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Takes over the descriptor that a call has just returned.
///
/// # Safety
///
/// It is new, and nobody else has it.
pub unsafe fn own(descriptor: i32) -> File {
    // SAFETY: the caller's.
    unsafe { File::from_raw_fd(descriptor) }
}
