// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system calls of a file server, and no others.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// Calls that are allowed with any arguments, and what makes them.
const ALLOWED: &[i64] = &[
    // The socket.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    // Files and what is known of them.
    libc::SYS_close,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_getxattr,
    libc::SYS_listxattr,
    libc::SYS_removexattr,
    // Directories and names.
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    // Whoever a file is to belong to makes it, and with which rights.
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_umask,
    // The allocator, locks, the end.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Bits of a mode that no file gets: on the host's own mount, whoever executes it would be another user.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

/// Calls that are allowed while an argument has none of these bits: call, number of the argument, bits.
const WITHOUT: [(i64, u8, u32); 7] = [
    // No executable memory.
    (libc::SYS_mmap, 2, libc::PROT_EXEC as u32),
    (libc::SYS_mprotect, 2, libc::PROT_EXEC as u32),
    (libc::SYS_openat, 3, SET_ID),
    (libc::SYS_fchmod, 1, SET_ID),
    (libc::SYS_fchmodat, 2, SET_ID),
    (libc::SYS_mkdirat, 2, SET_ID),
    (libc::SYS_mknodat, 2, SET_ID),
];

fn program() -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    for (call, argument, bits) in WITHOUT {
        let none_of_them = SeccompCmpOp::MaskedEq(bits.into());
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, none_of_them, 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![condition])?]);
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?;
    Ok(filter.try_into()?)
}

/// Sets the filter, for good.
pub(crate) fn apply() -> Result<(), Error> {
    apply_filter(&program()?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::libc::{_exit, S_IFREG};
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;

    /// How a process with the filter ends that makes one call and exits.
    fn end_of(call: impl FnOnce() -> i32) -> WaitStatus {
        let program = program().unwrap();
        // SAFETY: the child makes system calls only.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let confined = nix::sys::prctl::set_no_new_privs().is_ok();
                if confined && apply_filter(&program).is_ok() {
                    call();
                }
                // SAFETY: it ends here.
                unsafe { _exit(if confined { 0 } else { 1 }) }
            }
            ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        }
    }

    #[test]
    fn no_call_gives_a_file_the_set_id_bits() {
        let file = tempfile::tempfile().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(directory.path()).unwrap();
        let (file, at) = (file.as_raw_fd(), directory.as_raw_fd());
        let name = c"new".as_ptr();
        for (bits, killed) in [
            (0, false),
            (0o1000, false),
            (libc::S_ISUID, true),
            (libc::S_ISGID, true),
        ] {
            let mode = 0o755 | bits;
            // SAFETY: the descriptors are open, and the name is a string.
            let calls: [(&str, &dyn Fn() -> i32); 5] = unsafe {
                [
                    ("fchmod", &|| libc::fchmod(file, mode)),
                    ("fchmodat", &|| libc::fchmodat(at, name, mode, 0)),
                    ("mkdirat", &|| libc::mkdirat(at, name, mode)),
                    ("mknodat", &|| libc::mknodat(at, name, mode | S_IFREG, 0)),
                    ("openat", &|| {
                        libc::openat(at, name, libc::O_CREAT | libc::O_RDWR, mode)
                    }),
                ]
            };
            for (name, call) in calls {
                let end = end_of(call);
                let was_killed = matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _));
                assert_eq!(was_killed, killed, "{name} {mode:o}: {end:?}");
            }
        }
    }
}
