// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a process inherits from init that it should not: programs start as after a fresh login.
//!
//! Descriptors are opened close-on-exec everywhere, and limits, umask and out-of-memory score are those that
//! the kernel gave PID 1. What is left is what init needs for itself: blocked signals, and those that
//! the standard library ignores.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Descriptors that a launcher has, and may have. passt, which it starts, takes all that it may: two for a connection.
pub const DESCRIPTORS: (u64, u64) = (1024, 65_536);

/// Has the child start with no signal blocked and none ignored.
pub fn with_fresh_signals(command: &mut Command) -> &mut Command {
    // SAFETY: the function only makes system calls, which is all that a child may do before exec.
    unsafe { command.pre_exec(reset_signals) }
}

/// Has the child be the leader of a session and of a process group, without a terminal.
pub fn as_session_leader(command: &mut Command) -> &mut Command {
    // SAFETY: as above.
    unsafe { command.pre_exec(lead_session) }
}

/// Has the child's terminal, its standard input, be the controlling one of the session that it leads.
pub fn with_terminal(command: &mut Command) -> &mut Command {
    // SAFETY: as above.
    unsafe { command.pre_exec(control_terminal) }
}

/// Has the child have so many descriptors at most, and be free to take as many as the second number: the kernel gave
/// PID 1 1024 and 4096.
pub fn with_descriptors(command: &mut Command, (now, most): (u64, u64)) -> &mut Command {
    let limit = libc::rlimit {
        rlim_cur: now,
        rlim_max: most,
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(move || limit_descriptors(&limit)) }
}

fn reset_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: no handler of ours is installed. SIGKILL, SIGSTOP and the C library's own signals are
        // refused without an effect; they are at their defaults.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before sigprocmask reads it; the old mask is not asked for.
    let result = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn lead_session() -> io::Result<()> {
    // SAFETY: the call touches no memory.
    if unsafe { libc::setsid() } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn control_terminal() -> io::Result<()> {
    // SAFETY: the call touches no memory.
    if unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn limit_descriptors(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the limit is valid for reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigSet, Signal};

    /// The value of a line of /proc/self/status.
    fn field(status: &str, name: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    }

    #[test]
    fn a_child_has_no_signal_blocked_or_ignored_and_a_session_of_its_own() {
        // A thread of its own, whose mask is its own.
        let output = std::thread::spawn(|| {
            let mut mask = SigSet::empty();
            mask.add(Signal::SIGCHLD);
            mask.thread_block().unwrap();
            let mut command = Command::new("cat");
            command.args(["/proc/self/status", "/proc/self/stat"]);
            as_session_leader(with_fresh_signals(&mut command)).output()
        });
        let output = output.join().unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(field(&text, "SigBlk:"), 0, "{text}");
        // 32 and 33 are the C library's, and whoever started the tests may have ignored them.
        assert_eq!(field(&text, "SigIgn:") & !(3 << 31), 0, "{text}");
        // proc(5): pid, (comm), state, ppid, pgrp, session, tty_nr.
        let stat: Vec<_> = text.lines().last().unwrap().split(' ').collect();
        assert_eq!((stat[4], stat[5], stat[6]), (stat[0], stat[0], "0"));
    }

    #[test]
    fn a_child_has_so_many_descriptors_and_may_have_so_many() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -Sn; ulimit -Hn"]);
        let output = with_descriptors(&mut command, (100, 200)).output().unwrap();
        assert_eq!(output.stdout, b"100\n200\n");
    }
}
