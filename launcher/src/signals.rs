// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals to the launcher as something to read. Real-time signals too, which typed sets have no names for.

use std::io;
use std::mem::MaybeUninit;

use cki_session::Signal;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Blocks these signals in this thread, and gives the descriptor that tells them.
///
/// # Errors
/// Those of the system calls.
pub fn take(signals: impl IntoIterator<Item = Signal>) -> io::Result<SignalFd> {
    let set = set(signals);
    set.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&set, flags)?)
}

fn set(signals: impl IntoIterator<Item = Signal>) -> SigSet {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call initialises the whole set, which is ours.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was initialised above. Numbers that the C library keeps to itself are refused
        // without an effect.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal.number()) };
    }
    // SAFETY: the set was initialised above.
    unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) }
}
