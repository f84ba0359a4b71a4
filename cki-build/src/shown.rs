// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloads, shown as a step.

use std::sync::atomic::{AtomicU64, Ordering};

use cki_process::progress::Step;
use cki_process::units::human_bytes;

/// Bytes from which on a download is told of while it goes on.
const LONG_DOWNLOAD: u64 = 50 << 20;

/// Shows downloads as a step.
pub struct Shown {
    step: Step,
    total: AtomicU64,
    done: AtomicU64,
}

impl Shown {
    /// Shows them as `step`.
    pub fn new(step: Step) -> Self {
        Self {
            step,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    fn arrived(&self, name: &str, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        let (done, total) = (before + bytes, self.total.load(Ordering::Relaxed).max(1));
        self.step.detail(&format!(
            "{} of {}: {name}",
            human_bytes(done),
            human_bytes(total)
        ));
        // Where only lines are shown, every tenth part of a long download is one.
        if total >= LONG_DOWNLOAD && before * 10 / total < done * 10 / total {
            self.step.line(&format!(
                "downloaded {} of {}",
                human_bytes(done),
                human_bytes(total)
            ));
        }
    }
}

impl cki_inputs::Progress for Shown {
    fn begin(&self, files: usize, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        if files > 0 {
            self.step.part(&format!(
                "downloading {files} files, {}",
                human_bytes(bytes)
            ));
        }
    }

    fn file_started(&self, name: &str, _size: u64, have: u64) {
        if have > 0 {
            self.arrived(name, have);
        }
    }

    fn advanced(&self, name: &str, bytes: u64) {
        self.arrived(name, bytes);
    }

    fn step(&self, message: &str) {
        self.step.part(message);
    }

    fn note(&self, message: &str) {
        self.step.note(message);
    }
}
