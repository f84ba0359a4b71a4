// SPDX-License-Identifier: MIT OR Apache-2.0

//! SIGBUS for a vCPU's thread whose container's memory has broken.
//!
//! The host's kernel sends it to the thread that was running when the machine reported the error, as it does to
//! any program. It arrives on the way out of `CKI_RUN`, which says itself what has happened: there it is no
//! news. Anywhere else it ends this process, as it would without a handler.

use std::cell::Cell;
use std::io;

use libc::{c_int, c_void, siginfo_t};

/// `si_code` of a signal that the kernel forces on a thread (asm-generic/siginfo.h).
const SI_KERNEL: c_int = 0x80;

thread_local! {
    /// Whether this thread is in `CKI_RUN`.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call`, during which the signal is expected.
pub(super) fn expected<T>(call: impl FnOnce() -> T) -> T {
    RUNNING.set(true);
    let result = call();
    RUNNING.set(false);
    result
}

extern "C" fn handle(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid structure.
    let code = unsafe { (*info).si_code };
    let broken = matches!(code, SI_KERNEL | libc::BUS_MCEERR_AR | libc::BUS_MCEERR_AO);
    if broken && RUNNING.get() {
        return;
    }
    // The filter forbids to set the default action: what ends every process has to do.
    // SAFETY: a call that a handler may make.
    unsafe { libc::raise(libc::SIGKILL) };
}

/// Installs the handler, for all threads. The standard library's own would make calls that the filter forbids.
///
/// # Errors
/// What the kernel says.
pub(super) fn install() -> io::Result<()> {
    let handler = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    // SAFETY: the handler makes no calls but those that a handler may make, and reads a thread-local without a
    // destructor, which is there as long as its thread.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;
    use crate::testing::{child, role};

    /// The signal as the kernel sends it: a process may give itself any code.
    fn send(code: c_int) {
        // SAFETY: a structure of the kernel's, of which all but the code may be 0.
        unsafe {
            let mut info: siginfo_t = std::mem::zeroed();
            info.si_signo = libc::SIGBUS;
            info.si_code = code;
            libc::syscall(
                libc::SYS_rt_tgsigqueueinfo,
                libc::getpid(),
                libc::gettid(),
                libc::SIGBUS,
                &raw const info,
            );
        }
    }

    #[test]
    fn broken_memory_is_no_news_in_a_run_and_the_end_elsewhere() {
        const NAME: &str =
            "module::broken_memory::tests::broken_memory_is_no_news_in_a_run_and_the_end_elsewhere";
        if let Some(role) = role(NAME) {
            install().unwrap();
            match role.as_str() {
                "run" => expected(|| send(SI_KERNEL)),
                "behind" => {
                    expected(|| ());
                    send(SI_KERNEL);
                }
                // Our own mistake, such as memory that a start has taken away.
                _ => expected(|| send(libc::BUS_ADRERR)),
            }
            std::process::exit(44);
        }
        let status = |role| child(NAME, role).output().unwrap().status;
        assert_eq!(status("run").code(), Some(44));
        assert_eq!(status("behind").signal(), Some(libc::SIGKILL));
        assert_eq!(status("mistake").signal(), Some(libc::SIGKILL));
    }
}
