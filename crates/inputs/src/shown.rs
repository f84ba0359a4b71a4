// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloads, shown as a step.

use std::sync::atomic::{AtomicU64, Ordering};

use cki_process::progress::Step;
use cki_wording::units::human_bytes;

/// Bytes from which on a download is told of while it goes on.
const LONG_DOWNLOAD: u64 = 50 << 20;

/// A step that downloads and imports are shown as. Its methods are called from several threads.
#[derive(Debug)]
pub struct Shown {
    step: Step,
    /// Bytes that are to come, and those that have.
    total: AtomicU64,
    done: AtomicU64,
}

impl Shown {
    /// Shows them as `step`.
    #[must_use]
    pub fn new(step: Step) -> Self {
        Self {
            step,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    /// Downloads begin: so many files and bytes that are not there yet.
    pub fn begin(&self, files: usize, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        if files > 0 {
            self.step.part(&format!(
                "downloading {files} {}, {}",
                if files == 1 { "file" } else { "files" },
                human_bytes(bytes)
            ));
        }
    }

    /// So many more bytes of a file are there.
    pub fn arrived(&self, name: &str, bytes: u64) {
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

    /// What had arrived of a file was of no use: so many bytes come once more.
    pub fn lost(&self, bytes: u64) {
        // Not below nothing: a file may have been begun before these downloads were.
        let _ = self
            .done
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |done| {
                Some(done.saturating_sub(bytes))
            });
    }

    /// So many of the files have been looked at or asked for; this was the last one.
    pub fn asked(&self, name: &str, done: usize, total: usize) {
        self.step.detail(&format!("{done} of {total}: {name}"));
    }

    /// A step that is no download: `adding 12 files to the Nix store`.
    pub fn part(&self, message: &str) {
        self.step.part(message);
    }

    /// Something that the user should know but that needs no action: a retry, waiting for another process.
    pub fn note(&self, message: &str) {
        self.step.note(message);
    }
}
