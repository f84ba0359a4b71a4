// SPDX-License-Identifier: MIT OR Apache-2.0

//! Limits on the size of files: `ulimit -f`, systemd's `LimitFSIZE=`.
//!
//! Who writes beyond the limit gets SIGXFSZ, which ends a process. For a launcher or an emulator that is a container
//! that has gone, where it should be an error of one disk, which the container's file system tells its programs.

/// From now on what this process, and what it executes, write beyond such a limit is an error of that write (EFBIG,
/// setrlimit(2)) and not its end. To be called first of all.
pub fn have_it_be_an_error() {
    // SAFETY: no handler is installed, and no memory of ours is read or written. The call cannot fail for this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}
