// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the launcher may ask of the host's kernel while a guest runs.
//!
//! Each thread gets the filter of its duty after the last file is open and before the first instruction
//! of the guest. A guest that took over the launcher through a device could then read and write what is
//! open, drive its own container, and end: no new files, sockets, processes or executable memory. With
//! `--vsock` alone, it could connect to Unix sockets, too ([`Duty::Sockets`]).
//!
//! Before any thread is started, the process gives up its rights ([`rights`]), and with root's its sight of files
//! ([`root`]).

mod keyring;
pub mod rights;
pub mod root;

use std::collections::BTreeMap;
use std::io;

use crate::unblocked::SOCKET_FLAGS;
use cki_abi::uapi::ioctls::{KILL, RAISE_EVENT, RUN};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, sock_filter,
};

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Serves the session: streams, the client, time.
    Session,
    /// Runs a vCPU, and the console when the guest asks for it.
    Vcpu,
    /// Reads and writes a disk.
    Disk,
    /// Moves bytes between the guest and those who connect to its Unix socket.
    Listener,
    /// Moves bytes between the guest and Unix sockets, to which it connects itself, too.
    Sockets,
    /// Gives random numbers.
    Entropy,
    /// Sends and receives frames.
    Network,
    /// Passes file system requests on.
    Volume,
}

/// What a thread does first: gives up what its duty does not need.
pub type Confine = fn(Duty) -> io::Result<()>;

impl Duty {
    /// Calls that are allowed with any arguments besides [`ALLOWED`].
    fn calls(self) -> &'static [i64] {
        match self {
            Duty::Vcpu | Duty::Entropy => &[],
            // Whether the user's terminal is ours to set; a container's name that is given back.
            // Who asks for its counts.
            Duty::Session => &[
                libc::SYS_getpgrp,
                libc::SYS_getpgid,
                libc::SYS_flock,
                libc::SYS_accept4,
            ],
            Duty::Disk => &[
                libc::SYS_pread64,
                libc::SYS_preadv,
                libc::SYS_pwrite64,
                libc::SYS_pwritev,
                libc::SYS_fallocate,
                libc::SYS_fdatasync,
                libc::SYS_fsync,
                // The length of an image, which grows.
                libc::SYS_ftruncate,
                libc::SYS_lseek,
                libc::SYS_statx,
            ],
            Duty::Network => &[libc::SYS_writev, libc::SYS_epoll_ctl],
            Duty::Volume => &[libc::SYS_epoll_ctl],
            Duty::Sockets | Duty::Listener => &[
                libc::SYS_accept4,
                libc::SYS_epoll_ctl,
                libc::SYS_epoll_wait,
                libc::SYS_epoll_pwait,
                libc::SYS_shutdown,
            ],
        }
    }

    /// The ioctls that it makes: of `/dev/cki`, of the user's terminal, which is raw while a program has one of its
    /// own, and one that makes a socket non-blocking. The first is the one that it makes most.
    fn ioctls(self) -> &'static [u64] {
        match self {
            Duty::Vcpu => &[RUN, RAISE_EVENT],
            Duty::Session => &[
                RAISE_EVENT,
                KILL,
                libc::TIOCGWINSZ,
                libc::TIOCGPGRP,
                libc::TCGETS2,
                libc::TCSETS2,
            ],
            Duty::Disk | Duty::Entropy | Duty::Network | Duty::Volume => &[],
            Duty::Sockets | Duty::Listener => &[libc::FIONBIO],
        }
    }
}

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

/// Allows one ioctl, and leaves everything else to what comes behind.
///
/// The kernel remembers which calls are allowed whatever their arguments, and runs a filter for the others: for ioctl
/// above all, once or more for each request to a device, and a filter compares one call after the other until it has
/// come to the right one.
fn first(request: u64) -> [sock_filter; 7] {
    // linux/audit.h: EM_X86_64, 64 bits, little-endian.
    const ARCHITECTURE: u32 = 62 | 1 << 31 | 1 << 30;
    // linux/filter.h, in struct seccomp_data: the number, the architecture, the lower half of the second argument.
    let load = |offset| (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset);
    // To what comes behind, unless it is equal.
    let is = |value, behind| (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, behind, value);
    [
        load(4),
        is(ARCHITECTURE, 5),
        load(0),
        is(libc::SYS_ioctl as u32, 3),
        load(24),
        is(request as u32, 1),
        (libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ]
    .map(|(code, jf, k)| sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    })
}

fn program(duty: Duty) -> Result<BpfProgram, SeccompError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED
        .iter()
        .chain(duty.calls())
        .map(|&call| (call, Vec::new()))
        .collect();
    let ioctls: Vec<_> = duty
        .ioctls()
        .iter()
        .map(|&request| argument(1, SeccompCmpOp::Eq, request))
        .collect::<Result<_, _>>()?;
    // A call without any rule would be allowed.
    if !ioctls.is_empty() {
        rules.insert(libc::SYS_ioctl, ioctls);
    }
    // The standard library asserts in debug builds that what it closes is open.
    let is_open = argument(1, SeccompCmpOp::Eq, libc::F_GETFD as u64)?;
    rules.insert(libc::SYS_fcntl, vec![is_open]);
    // abort() and raise() send a signal to a thread of this process; nobody else gets one.
    let ours = argument(0, SeccompCmpOp::Eq, std::process::id().into())?;
    rules.insert(libc::SYS_tgkill, vec![ours]);
    // Sockets that are open, without waiting and to nobody but their peer.
    let flags = SOCKET_FLAGS.bits() as u64;
    for call in [libc::SYS_sendto, libc::SYS_recvfrom] {
        let to_peer = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
        let at_once = SeccompCondition::new(3, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, flags)?;
        let conditions = match duty {
            // They are non-blocking themselves.
            Duty::Sockets | Duty::Listener => vec![to_peer],
            _ => vec![at_once, to_peer],
        };
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    if duty == Duty::Sockets {
        // Unix sockets, none of a network. To which of them, a filter cannot see.
        let unix = argument(0, SeccompCmpOp::Eq, libc::AF_UNIX as u64)?;
        rules.insert(libc::SYS_socket, vec![unix]);
        rules.insert(libc::SYS_connect, Vec::new());
    }
    // No executable memory: the allocator needs none.
    let executable = libc::PROT_EXEC as u64;
    let data = SeccompCondition::new(
        2,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(executable),
        0,
    )?;
    rules.insert(
        libc::SYS_mprotect,
        vec![SeccompRule::new(vec![data.clone()])?],
    );
    // And no file in memory: the container's descriptors are open in all threads.
    let nothing = SeccompCondition::new(
        4,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        u64::from(u32::MAX),
    )?;
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![data, nothing])?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        seccompiler::TargetArch::x86_64,
    )?;
    let rules: BpfProgram = filter.try_into()?;
    let first = duty.ioctls().first().map(|&request| first(request));
    Ok(first.into_iter().flatten().chain(rules).collect())
}

/// Sets the filter of a duty for the calling thread, for good.
///
/// # Errors
/// [`SeccompError`].
pub fn confine(duty: Duty) -> Result<(), SeccompError> {
    Ok(apply_filter(&program(duty)?)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::testing::{child, role};

    const NAME: &str = "jail::tests::each_duty_makes_its_ioctls_and_no_other";
    const DUTIES: [Duty; 8] = [
        Duty::Session,
        Duty::Vcpu,
        Duty::Disk,
        Duty::Listener,
        Duty::Sockets,
        Duty::Entropy,
        Duty::Network,
        Duty::Volume,
    ];
    /// Of a terminal: nobody's.
    const FOREIGN: u64 = libc::TIOCSTI;

    /// Makes the ioctl on a file that has none, as this duty, and ends with 0 if it got so far.
    fn make(duty: Duty, request: u64) -> ! {
        let file = std::fs::File::open("/dev/null").unwrap();
        confine(duty).unwrap();
        // SAFETY: /dev/null has no ioctl, and what every file has fails without memory to read.
        let _ = unsafe { libc::ioctl(file.as_raw_fd(), request, 0) };
        std::process::exit(0)
    }

    const MAPPING: &str = "jail::tests::no_duty_maps_what_is_open";

    /// The container is open in all threads, and a mapping of it is a way to the module, too.
    #[test]
    fn no_duty_maps_what_is_open() {
        if let Some(role) = role(MAPPING) {
            let (duty, descriptor) = role.split_once(' ').unwrap();
            let zero = std::fs::File::open("/dev/zero").unwrap();
            let descriptor = match descriptor {
                "open" => zero.as_raw_fd(),
                _ => -1,
            };
            let flags = libc::MAP_PRIVATE
                | if descriptor < 0 {
                    libc::MAP_ANONYMOUS
                } else {
                    0
                };
            confine(DUTIES[duty.parse::<usize>().unwrap()]).unwrap();
            map(descriptor, flags);
        }
        for (number, duty) in DUTIES.into_iter().enumerate() {
            let ended = |what: &str| {
                child(MAPPING, &format!("{number} {what}"))
                    .status()
                    .unwrap()
            };
            assert_eq!(ended("nothing").code(), Some(0), "{duty:?}");
            assert_eq!(ended("open").signal(), Some(libc::SIGSYS), "{duty:?}");
        }
    }

    /// Maps a page of it, and ends with 0 if it got so far.
    fn map(descriptor: i32, flags: i32) -> ! {
        // SAFETY: a new mapping, which nobody uses.
        let _ = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ,
                flags,
                descriptor,
                0,
            )
        };
        std::process::exit(0)
    }

    #[test]
    fn each_duty_makes_its_ioctls_and_no_other() {
        if let Some(role) = role(NAME) {
            let (duty, request) = role.split_once(' ').unwrap();
            make(
                DUTIES[duty.parse::<usize>().unwrap()],
                request.parse().unwrap(),
            );
        }
        for (number, duty) in DUTIES.into_iter().enumerate() {
            let ended = |request: u64| {
                let role = format!("{number} {request}");
                child(NAME, &role).status().unwrap()
            };
            for &request in duty.ioctls() {
                assert_eq!(ended(request).code(), Some(0), "{duty:?} {request:#x}");
            }
            let foreign = [FOREIGN, RUN, RAISE_EVENT].into_iter();
            for request in foreign.filter(|request| !duty.ioctls().contains(request)) {
                let ended = ended(request);
                assert_eq!(
                    ended.signal(),
                    Some(libc::SIGSYS),
                    "{duty:?} {request:#x} {ended}"
                );
            }
        }
    }
}
