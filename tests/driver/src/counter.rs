// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many of the events that are tested the host's kernel has handled.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};

/// Lines of /proc/interrupts.
const LINES: [&str; 2] = ["NMI:", "MCE:"];

/// NMIs and machine checks.
#[derive(Debug)]
pub struct Counter {
    file: File,
    last: u64,
}

impl Counter {
    /// From now on.
    pub fn new() -> Result<Self> {
        let mut counter = Counter {
            file: File::open("/proc/interrupts").context("/proc/interrupts")?,
            last: 0,
        };
        counter.taken()?;
        Ok(counter)
    }

    /// Events since this was asked last.
    pub fn taken(&mut self) -> Result<u64> {
        let mut bytes = [0; 8192];
        let length = self.file.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes[..length]);
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| {
                let line = line.trim_start();
                LINES.iter().find_map(|name| line.strip_prefix(name))
            })
            .collect();
        ensure!(
            lines.len() == LINES.len(),
            "/proc/interrupts lacks one of {LINES:?}"
        );
        // A number for each processor.
        let numbers = lines.iter().flat_map(|line| {
            let words = line.split_whitespace();
            words.map_while(|word| word.parse::<u64>().ok())
        });
        let total = numbers.sum();
        let taken = total - self.last;
        self.last = total;
        Ok(taken)
    }
}
