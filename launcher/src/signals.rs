// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals to the launcher as something to read, and to send. Real-time signals too, which typed sets have no names
//! for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

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

/// Sends a signal to the process of a pidfd (pidfd_open(2)).
///
/// # Errors
/// Those of pidfd_send_signal(2).
pub fn send(process: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let (process, no_info, flags) = (process.as_raw_fd(), ptr::null::<libc::siginfo_t>(), 0_u32);
    // SAFETY: the call reads no memory of ours where there is no siginfo_t; the kernel judges its numbers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process,
            signal.number(),
            no_info,
            flags,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn named_and_real_time_signals_reach_a_process() {
        for signal in ["USR1", "RTMIN", "RTMAX"] {
            let signal: Signal = signal.parse().unwrap();
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
            let sent = send(process.as_fd(), signal);
            if sent.is_err() {
                child.kill().unwrap();
            }
            let ended = child.wait().unwrap();
            sent.unwrap();
            assert_eq!(ended.signal(), Some(signal.number()));
            let gone = send(process.as_fd(), signal).unwrap_err();
            assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
        }
    }
}
