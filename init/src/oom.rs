// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the kernel's out-of-memory killer ended a process.
//!
//! A wait status says only "signal 9". The kernel names its victims in its log
//! (`mm/oom_kill.c`): `Out of memory: Killed process 77 (python3) total-vm:...`, or
//! `Memory cgroup out of memory: Killed process ...`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The kernel log, read from where it was opened on.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// Opens `/dev/kmsg`; records before this moment are skipped by the caller's first read.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn open(dev: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(dev.join("kmsg"))
            .map(Self)
    }

    /// Whether an unread record says that the killer took `pid`. Reads to the end of the log.
    pub fn says_killed(&mut self, pid: i32) -> bool {
        // One read is one record (Documentation/ABI/testing/dev-kmsg), at most 8 KiB.
        let mut record = [0; 8192];
        let mut found = false;
        loop {
            match self.0.read(&mut record) {
                Ok(0) => return found,
                Ok(length) => found |= names_victim(&record[..length], pid),
                // EPIPE: records were overwritten before we came; the next read goes on after them.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                // EAGAIN at the end; after any other error there is nothing more to learn.
                Err(_) => return found,
            }
        }
    }
}

/// Whether a record of the kernel log names `pid` as a victim of the out-of-memory killer.
///
/// Only the kernel's own records count (facility 0): what programs write to `/dev/kmsg` carries
/// the facility "user", so that no program can pretend.
#[must_use]
pub fn names_victim(record: &[u8], pid: i32) -> bool {
    let record = String::from_utf8_lossy(record);
    let Some((prefix, text)) = record.split_once(';') else {
        return false;
    };
    let from_kernel = prefix
        .split(',')
        .next()
        .and_then(|priority| priority.parse::<u32>().ok())
        .is_some_and(|priority| priority >> 3 == 0);
    let victim = text
        .lines()
        .next()
        .filter(|line| line.to_ascii_lowercase().contains("out of memory"))
        .and_then(|line| line.split_once("Killed process "))
        .and_then(|(_, rest)| rest.split(' ').next())
        .and_then(|number| number.parse().ok());
    from_kernel && victim == Some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: &[u8] = b"3,512,4711,-;Out of memory: Killed process 77 (python3) total-vm:9kB\n";

    #[test]
    fn the_victim_is_found_by_its_process_id() {
        assert!(names_victim(KILLED, 77));
        assert!(!names_victim(KILLED, 7));
        let in_cgroup =
            b"3,9,1,-;Memory cgroup out of memory: Killed process 5 (sh) total-vm:1kB\n";
        assert!(names_victim(in_cgroup, 5));
    }

    #[test]
    fn a_program_cannot_pretend_to_have_run_out_of_memory() {
        // Facility 1 (user), as the kernel stores what is written to /dev/kmsg.
        let written = b"12,512,4711,-;Out of memory: Killed process 77 (python3)\n";
        assert!(!names_victim(written, 77));
    }

    #[test]
    fn other_records_are_no_victims() {
        for record in [
            &b"6,1,0,-;Linux version 6.12.95-cki\n"[..],
            b"",
            b"no record",
            b"3,1,0,-;Out of memory: Killed process x (sh)\n",
            b"3,1,0,-;sysrq: Killed process 77 (sh)\n",
        ] {
            assert!(!names_victim(record, 77), "{record:?}");
        }
    }
}
