// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the kernel's out-of-memory killer ended a process.
//!
//! A wait status says only "signal 9". The kernel names its victims in its log
//! (`mm/oom_kill.c`): `Out of memory: Killed process 77 (python3) total-vm:...`, or
//! `Memory cgroup out of memory: Killed process ...`. The kernel of a container has a killer of its own besides
//! (`kernel/src/arch/x86/cki/victim.c`), whose sentence has [`FOR_PAGE_TABLES`] in it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cki_session::console::FOR_PAGE_TABLES;

/// Victims that nobody has asked for yet, at most; the latest are kept.
const VICTIMS_MAX: usize = 256;

/// What a victim was killed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Memory of any kind.
    Memory,
    /// Frames that can be page tables; there may have been other memory.
    PageTables,
}

/// The kernel log, read from where it was opened on.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
    victims: VecDeque<(i32, Shortage)>,
}

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
            .map(|file| Self {
                file,
                victims: VecDeque::new(),
            })
    }

    /// Passes over what the log has said until now.
    pub fn skip(&mut self) {
        self.read();
        self.victims.clear();
    }

    /// For want of what the killer took `pid`, if the log says that it did. It says so once.
    pub fn says_killed(&mut self, pid: i32) -> Option<Shortage> {
        self.read();
        let found = self.victims.iter().position(|&(victim, _)| victim == pid);
        let (_, shortage) = found.and_then(|at| self.victims.remove(at))?;
        Some(shortage)
    }

    /// Reads to the end of the log.
    fn read(&mut self) {
        // One read is one record (Documentation/ABI/testing/dev-kmsg), at most 8 KiB.
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => return,
                Ok(length) => {
                    if self.victims.len() == VICTIMS_MAX {
                        self.victims.pop_front();
                    }
                    self.victims.extend(victim(&record[..length]));
                }
                // EPIPE: records were overwritten before we came; the next read goes on after them.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                // EAGAIN at the end; after any other error there is nothing more to learn.
                Err(_) => return,
            }
        }
    }
}

/// The victim of the out-of-memory killer that a record of the kernel log names.
///
/// Only the kernel's own records count (facility 0): what programs write to `/dev/kmsg` carries
/// the facility "user", so that no program can pretend.
#[must_use]
pub fn victim(record: &[u8]) -> Option<(i32, Shortage)> {
    let record = String::from_utf8_lossy(record);
    let (prefix, text) = record.split_once(';')?;
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
        .and_then(|(_, rest)| rest.split_once(' '))
        .and_then(|(number, rest)| Some((number.parse().ok()?, rest)))
        .map(|(number, rest)| match rest.contains(FOR_PAGE_TABLES) {
            true => (number, Shortage::PageTables),
            false => (number, Shortage::Memory),
        });
    victim.filter(|_| from_kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: &[u8] = b"3,512,4711,-;Out of memory: Killed process 77 (python3) total-vm:9kB\n";

    #[test]
    fn the_victim_is_found_by_its_process_id() {
        assert_eq!(victim(KILLED), Some((77, Shortage::Memory)));
        let in_cgroup =
            b"3,9,1,-;Memory cgroup out of memory: Killed process 5 (sh) total-vm:1kB\n";
        assert_eq!(victim(in_cgroup), Some((5, Shortage::Memory)));
    }

    #[test]
    fn page_tables_are_told_from_other_memory() {
        let tables =
            format!("3,9,1,-;Out of memory: Killed process 77 (perl{FOR_PAGE_TABLES}9kB, UID:0\n");
        assert_eq!(victim(tables.as_bytes()), Some((77, Shortage::PageTables)));
    }

    #[test]
    fn a_program_cannot_pretend_to_have_run_out_of_memory() {
        // Facility 1 (user), as the kernel stores what is written to /dev/kmsg.
        let written = b"12,512,4711,-;Out of memory: Killed process 77 (python3)\n";
        assert_eq!(victim(written), None);
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
            assert_eq!(victim(record), None, "{record:?}");
        }
    }
}
