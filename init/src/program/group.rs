// SPDX-License-Identifier: MIT OR Apache-2.0

//! A control group: all processes of a session on a machine that has others.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::program::process;

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// Processes that are held at a time, each by a descriptor.
const HELD: usize = 256;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The processes of a place, and what they start.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// The group of a place, below the mounted control groups.
    #[must_use]
    pub fn of_place(place: u32) -> Self {
        Self {
            path: Path::new("/sys/fs/cgroup").join(format!("place{place}")),
        }
    }

    /// Makes it, unless it is there.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn create(&self) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Has this process, and what it starts from now on, be in it.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn join(&self) -> io::Result<()> {
        // 0 is whoever writes.
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Kills all that is in it but this process; whether nobody is left.
    pub fn kill_others(&self) -> bool {
        let list = || {
            let processes = fs::read_to_string(self.path.join("cgroup.procs"));
            others(&processes.unwrap_or_default(), std::process::id())
        };
        self.until(|| kill_listed(list))
    }

    /// Kills all that is in it; whether nobody is left in the end.
    pub fn kill(&self) -> bool {
        self.until(|| self.is_empty_after_kill())
    }

    /// Has the kernel kill all that is in it; whether nobody is left now. It does not wait.
    pub fn is_empty_after_kill(&self) -> bool {
        // Where it fails, the look tells.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        let events = fs::read_to_string(self.path.join("cgroup.events"));
        events.is_ok_and(|events| is_empty(&events))
    }

    fn until(&self, mut done: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        while !done() {
            if start.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        true
    }
}

/// Kills all processes that are listed; whether there are none.
///
/// A process may end, and its number be another's, who is not in the list: killed is who is in it still when it is
/// looked at once more, with that process in our hands.
fn kill_listed(list: impl Fn() -> Vec<i32>) -> bool {
    let processes = list();
    for some in processes.chunks(HELD) {
        let hold = |&number: &i32| Some((number, process::hold(number).ok()?));
        let held: Vec<_> = some.iter().filter_map(hold).collect();
        let listed: HashSet<_> = list().into_iter().collect();
        for (number, process) in held {
            if listed.contains(&number) {
                // It may have ended meanwhile.
                let _ = process::kill(&process);
            }
        }
    }
    processes.is_empty()
}

/// Whether the events of a control group say that it has no process.
fn is_empty(events: &str) -> bool {
    events.lines().any(|line| line == "populated 0")
}

/// The processes in a list of the kernel's, but for `own`.
fn others(list: &str, own: u32) -> Vec<i32> {
    let all = list.lines().filter_map(|line| line.trim().parse().ok());
    all.filter(|&process| process > 1 && i64::from(process) != i64::from(own))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_empty_when_its_events_say_so() {
        assert!(is_empty("populated 0\nfrozen 0\n"));
        assert!(!is_empty("populated 1\nfrozen 0\n"));
        // It cannot be read, or not now.
        assert!(!is_empty(""));
    }

    #[test]
    fn neither_the_caller_nor_init_nor_a_process_of_another_namespace_is_among_the_others() {
        assert_eq!(others("1\n0\n70\n71\n\n72\n", 71), [70, 72]);
        assert!(others("", 7).is_empty());
    }

    #[test]
    fn a_process_that_is_not_in_the_list_any_more_is_left_alone() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let number = process::id(&child);
        // Its number was that of one that was listed, and has ended.
        let looks = std::cell::Cell::new(0);
        let list = || match looks.replace(looks.get() + 1) {
            0 => vec![number],
            _ => Vec::new(),
        };
        assert!(!kill_listed(list));
        assert_eq!(looks.get(), 2);
        assert!(child.try_wait().unwrap().is_none());
        assert!(!kill_listed(|| vec![number]));
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        // Now there is no such process.
        assert!(!kill_listed(|| vec![number]));
        assert!(kill_listed(Vec::new));
    }
}
