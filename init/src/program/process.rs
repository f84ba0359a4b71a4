// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waiting for children and sending signals by number, real-time signals included (which typed
//! wrappers know no names for).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The process id of a child, in the kernel's own type.
#[must_use]
pub fn id(child: &Child) -> i32 {
    // Linux has at most 2^22 (PID_MAX_LIMIT); the standard library only shows pid_t as u32.
    child.id() as i32
}

/// Reaps one child that has ended: its process id and how it ended. `None` when none has.
///
/// For PID 1 that includes orphans, which the kernel gives it.
#[must_use]
pub fn reap() -> Option<(i32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the int that waitpid writes; there are no other effects
    // on memory. No `Child` of the standard library is waited for elsewhere in this program.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    // 0: none has ended; -1: there are none (ECHILD), the only error WNOHANG leaves.
    (pid > 0).then(|| (pid, ExitStatus::from_raw(status)))
}

/// Sends a signal to every process of a group.
///
/// # Errors
/// `EINVAL` for a number that is no signal, `ESRCH` when the group is gone.
pub fn signal_group(leader: i32, signal: i32) -> io::Result<()> {
    if leader <= 1 {
        // kill(0) and kill(-1) mean more than a group.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    send(-leader, signal)
}

/// A process, whoever has its number later.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn hold(process: i32) -> io::Result<OwnedFd> {
    // Numbers below are no process's but init's.
    let process = Some(process).filter(|&process| process > 1);
    let process = process.and_then(Pid::from_raw);
    let process = process.ok_or(io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(pidfd_open(process, PidfdFlags::empty())?)
}

/// Kills a process.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn kill(process: &OwnedFd) -> io::Result<()> {
    Ok(pidfd_send_signal(process, Signal::KILL)?)
}

/// Asks a process to end.
///
/// # Errors
/// `ESRCH` when it is gone.
pub fn terminate(process: i32) -> io::Result<()> {
    if process <= 1 {
        // kill(0) and kill(-1) mean more than a process, and 1 is init.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    send(process, libc::SIGTERM)
}

/// Kills every process but PID 1 itself.
///
/// # Panics
/// When the caller is not PID 1: it would end the user's session.
pub fn kill_everything() {
    assert_eq!(std::process::id(), 1, "only PID 1 may kill everything");
    // ESRCH, nothing left to kill, is the only possible error.
    let _ = send(-1, libc::SIGKILL);
}

fn send(target: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill touches no memory of this process.
    if unsafe { libc::kill(target, signal) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_would_mean_everybody_are_refused() {
        for leader in [1, 0, -1, -77] {
            let held = hold(leader).map(drop);
            for error in [signal_group(leader, 0), held, terminate(leader)] {
                assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ESRCH));
            }
        }
    }

    #[test]
    #[should_panic(expected = "only PID 1")]
    fn nobody_but_pid_1_kills_everything() {
        kill_everything();
    }
}
