// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a process may do: its limits, its capabilities, its user.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use cki_session::{Capabilities, Limit};

use crate::program::account::Identity;

/// Stands for a limit that was refused: an error that no step of starting a program has by itself (execve(2)).
pub const LIMIT_REFUSED: i32 = libc::EDOM;

/// Has the child start with these limits and without these capabilities, as this user (root when `None`). The rest of
/// its preparation, which may need root, must come before.
///
/// Root gets from exec all that is in the bounding set, so that what is taken out of it can come back by no
/// program; another user gets none (capabilities(7)).
pub fn restrict<'c>(
    command: &'c mut Command,
    limits: &[Limit],
    capabilities: &Capabilities,
    account: Option<&Identity>,
) -> &'c mut Command {
    let limits = limits.to_vec();
    let dropped: Vec<u32> = capabilities.dropped().collect();
    let account = account.map(|account| (account.uid, account.gid, account.groups.clone()));
    let restrict = move || {
        limits.iter().try_for_each(|&limit| set_limit(limit))?;
        dropped
            .iter()
            .try_for_each(|&number| drop_capability(number))?;
        match &account {
            Some((uid, gid, groups)) => set_user(*uid, *gid, groups),
            None => Ok(()),
        }
    };
    // SAFETY: the closure only makes system calls with memory that it owns, which is all that a child may do
    // before exec.
    unsafe { command.pre_exec(restrict) }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn set_limit(limit: Limit) -> io::Result<()> {
    let value = libc::rlimit {
        rlim_cur: limit.soft(),
        rlim_max: limit.hard(),
    };
    // SAFETY: the structure is read only and lives during the call.
    let result = unsafe { libc::setrlimit(limit.resource(), &value) };
    checked(result).map_err(|_| io::Error::from_raw_os_error(LIMIT_REFUSED))
}

fn drop_capability(number: u32) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: the call touches no memory.
    let result = unsafe {
        libc::prctl(
            libc::PR_CAPBSET_DROP,
            libc::c_ulong::from(number),
            none,
            none,
            none,
        )
    };
    match checked(result) {
        // A kernel that does not know it gives it to nobody.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result,
    }
}

fn set_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list is read only, as long as it says, and lives during the call.
    checked(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: the calls touch no memory.
    checked(unsafe { libc::setgid(gid) })?;
    // SAFETY: as above.
    checked(unsafe { libc::setuid(uid) })
}
