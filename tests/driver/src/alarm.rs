// SPDX-License-Identifier: MIT OR Apache-2.0

//! A signal again and again.

extern "C" fn ignore(_signal: i32) {}

/// Interrupts this thread's system calls again and again (the first time may come before CKI_RUN),
/// as long as it lives.
#[derive(Debug)]
pub struct Alarm;

impl Alarm {
    /// Starts.
    pub fn every(milliseconds: i64) -> Self {
        let handler = ignore as extern "C" fn(i32);
        // SAFETY: a handler that does nothing, without SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
        }
        Self::set(milliseconds);
        Alarm
    }

    fn set(milliseconds: i64) {
        let value = libc::timeval {
            tv_sec: milliseconds / 1000,
            tv_usec: milliseconds % 1000 * 1000,
        };
        let timer = libc::itimerval {
            it_interval: value,
            it_value: value,
        };
        // SAFETY: a plain structure.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        Self::set(0);
    }
}
