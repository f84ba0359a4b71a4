// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is to be downloaded, how hard to try, and what was done.

use std::time::{Duration, Instant};

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// What to call it in messages: a package's name, `bookworm Packages.xz`.
    pub name: String,
    /// Where it is, best first.
    pub urls: Vec<String>,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// Date of the archive that listed the file, as snapshot archives write it (`20260711T101637Z`).
    pub snapshot: Option<String>,
}

/// How hard to try.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Downloads at the same time.
    pub parallel: usize,
    /// Attempts after the first that may fail in a row, per file and mirror.
    pub retries: u32,
    /// Pause before the first retry; each further one is twice as long.
    pub backoff: Duration,
    /// How long a connection may say nothing.
    pub patience: Duration,
    /// How long a file may take that comes byte by byte, if there is a limit.
    pub whole: Option<Duration>,
}

impl Policy {
    /// When a file that is begun now has to be there.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.whole?)
    }
}

/// Why a file is given up that is still coming.
pub(super) fn is_late(deadline: Option<Instant>) -> Option<String> {
    let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
    late.then(|| "it comes too slowly".to_owned())
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            parallel: 4,
            retries: 4,
            backoff: Duration::from_millis(500),
            patience: Duration::from_secs(30),
            whole: None,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct FetchStats {
    /// Files that were in the cache already.
    pub cached_files: usize,
    /// Files that were downloaded.
    pub downloaded_files: usize,
    /// Bytes that came over the network, including those of no use.
    pub downloaded_bytes: u64,
    /// Bytes that did not, because an earlier attempt had brought them.
    pub resumed_bytes: u64,
}

impl FetchStats {
    pub(crate) fn add(&mut self, other: Self) {
        self.cached_files += other.cached_files;
        self.downloaded_files += other.downloaded_files;
        self.downloaded_bytes += other.downloaded_bytes;
        self.resumed_bytes += other.resumed_bytes;
    }
}
