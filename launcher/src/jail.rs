// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the launcher may ask of the host's kernel while a guest runs.
//!
//! The filter is set for all threads after the last file is open and before the first instruction of
//! the guest. A guest that took over the launcher through a device could then read and write what is
//! open, drive its own container, and end: no new files, sockets, processes or executable memory.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// The filter cannot be made or set.
#[derive(Debug, thiserror::Error)]
#[error("cannot restrict system calls (seccomp): {0}")]
pub struct SeccompError(#[from] seccompiler::Error);

impl From<seccompiler::BackendError> for SeccompError {
    fn from(error: seccompiler::BackendError) -> Self {
        SeccompError(error.into())
    }
}

/// Calls that are allowed with any arguments, and what makes them.
const ALLOWED: &[i64] = &[
    // Streams, the waker, the client.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_poll,
    libc::SYS_ppoll,
    // The disk.
    libc::SYS_pread64,
    // Locks, channels, the end of a thread.
    libc::SYS_futex,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_sched_yield,
    // Deadlines, where the vDSO cannot tell the time.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    // The allocator, and the unmapping of guest memory at the end.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Files that are closed at the end.
    libc::SYS_close,
    // Signal stacks of threads, and a panic's abort.
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    // Seeds of hash tables.
    libc::SYS_getrandom,
];

fn argument(
    index: u8,
    operation: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(
        index,
        SeccompCmpArgLen::Dword,
        operation,
        value,
    )?])
}

/// The filter.
///
/// # Errors
/// [`SeccompError`] if the library refuses it.
pub fn program() -> Result<BpfProgram, SeccompError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let ioctls = cki_module::CALLS_AFTER_START
        .into_iter()
        .map(|request| argument(1, SeccompCmpOp::Eq, request))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, ioctls);
    // The standard library asserts in debug builds that what it closes is open.
    let is_open = argument(1, SeccompCmpOp::Eq, libc::F_GETFD as u64)?;
    rules.insert(libc::SYS_fcntl, vec![is_open]);
    // No executable memory: the allocator needs none.
    let executable = libc::PROT_EXEC as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let rule = argument(2, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(call, vec![rule]);
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        seccompiler::TargetArch::x86_64,
    )?;
    Ok(filter.try_into()?)
}

/// Sets the filter for all threads, for good.
///
/// # Errors
/// [`SeccompError`].
pub fn apply() -> Result<(), SeccompError> {
    Ok(apply_filter_all_threads(&program()?)?)
}
