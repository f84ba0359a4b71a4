// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloading files whose hash is known.
//!
//! Each file ends up in the cache under its hash or not at all. What arrived before a failure stays in a `.part` file and is
//! not downloaded again. Several mirrors are tried in turn; network failures are retried with growing pauses.

mod disk;
mod download;
mod error;

use std::collections::{BTreeSet, VecDeque};
use std::io::Read;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub use disk::{Disk, RealDisk};
pub use error::FetchError;

use super::cache::Cache;
use super::progress::{Cancel, Progress};
use super::transport::{Refusal, Transport};
use cki_debian::apt_proxy::Proxies;
use download::Job;

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
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            parallel: 4,
            retries: 4,
            backoff: Duration::from_millis(500),
            patience: Duration::from_secs(30),
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

/// Downloads into a cache. The caller holds the cache's lock.
#[derive(Clone)]
pub struct Fetcher {
    cache: Cache,
    transport: Arc<Transport>,
    disk: Arc<dyn Disk>,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
    policy: Policy,
}

impl Fetcher {
    /// A fetcher that writes to the real disk.
    ///
    /// # Errors
    /// [`FetchError::Setup`] if the TLS library cannot be set up, or a proxy's URL is none.
    pub fn new(
        cache: Cache,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
        policy: Policy,
        proxies: &Proxies,
    ) -> Result<Self, FetchError> {
        let transport =
            Arc::new(Transport::new(policy.patience, proxies).map_err(FetchError::Setup)?);
        Ok(Self {
            cache,
            transport,
            disk: Arc::new(RealDisk),
            progress,
            cancel,
            policy,
        })
    }

    /// Writes through something else, for tests.
    #[must_use]
    pub fn with_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Brings all the files into the cache.
    ///
    /// # Errors
    /// The first error that one of the downloads met; the others are then stopped. What arrived stays in the cache.
    pub fn fetch(&self, downloads: &[Download]) -> Result<FetchStats, FetchError> {
        let mut stats = FetchStats::default();
        let mut queue = VecDeque::new();
        let mut seen = BTreeSet::new();
        for download in downloads.iter().filter(|d| seen.insert(d.sha256.as_str())) {
            if self.cache.has(&download.sha256, download.size) {
                stats.cached_files += 1;
            } else {
                queue.push_back(download.clone());
            }
        }
        if queue.is_empty() {
            return Ok(stats);
        }
        let bytes = queue.iter().map(|d| d.size).sum();
        self.check_space(&queue)?;
        self.progress.begin(queue.len(), bytes);
        let result = self.run(queue);
        self.progress.end();
        stats.add(result?);
        Ok(stats)
    }

    /// Refuses to start what the disk cannot hold.
    fn check_space(&self, queue: &VecDeque<Download>) -> Result<(), FetchError> {
        let have =
            |d: &Download| std::fs::metadata(self.cache.partial(&d.sha256)).map_or(0, |m| m.len());
        let needed = queue.iter().map(|d| d.size.saturating_sub(have(d))).sum();
        // A file system that does not tell is no reason to stop: writing will show.
        match self.disk.free(self.cache.root()) {
            Ok(free) if free < needed => Err(FetchError::DiskFull {
                path: self.cache.root().into(),
                needed: Some(needed),
                free: Some(free),
            }),
            _ => Ok(()),
        }
    }

    fn run(&self, queue: VecDeque<Download>) -> Result<FetchStats, FetchError> {
        let mut left = queue.len();
        let workers = self.policy.parallel.clamp(1, left);
        let queue = Arc::new(Mutex::new(queue));
        let (sender, results) = mpsc::channel();
        // Set when one download fails, so that the others stop too; the caller's flag is not ours to set.
        let stop = Cancel::new();
        for _ in 0..workers {
            let (queue, sender, stop, fetcher) =
                (queue.clone(), sender.clone(), stop.clone(), self.clone());
            thread::spawn(move || {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(download) = next.filter(|_| !stop.is_set()) else {
                        return;
                    };
                    let result = Job::new(&fetcher, &download, &stop).run();
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut stats = FetchStats::default();
        // The threads are not waited for after a failure: one of them may sit in a connection that says nothing. They
        // stop at the next byte, or with the process.
        let failed = |error| {
            stop.set();
            Err(error)
        };
        while left > 0 {
            match results.recv_timeout(Duration::from_millis(50)) {
                Ok(Ok(done)) => {
                    stats.add(done);
                    left -= 1;
                }
                Ok(Err(error)) => return failed(error),
                Err(RecvTimeoutError::Timeout) if self.cancel.is_set() => {
                    return failed(FetchError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return failed(FetchError::Setup(
                        "a download thread ended without a result".into(),
                    ));
                }
            }
        }
        Ok(stats)
    }

    /// Gets a file whose hash is not known in advance, such as a suite's InRelease. It is not cached.
    ///
    /// # Errors
    /// That of the last mirror. A file of more than `limit` bytes is refused.
    pub fn fetch_unpinned(
        &self,
        name: &str,
        urls: &[String],
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let mut last = FetchError::NoMirror(name.into());
        for url in urls {
            let mut pause = self.policy.backoff;
            for attempt in 0..=self.policy.retries {
                self.cancel.check()?;
                match self.read_whole(name, url, limit) {
                    Ok(bytes) => return Ok(bytes),
                    Err((error, again)) => {
                        let again = again && attempt < self.policy.retries;
                        last = error;
                        if !again {
                            break;
                        }
                        self.progress
                            .note(&format!("{}; trying again", last.in_short()));
                        self.cancel.sleep(pause)?;
                        pause *= 2;
                    }
                }
            }
        }
        Err(last)
    }

    fn read_whole(&self, name: &str, url: &str, limit: u64) -> Result<Vec<u8>, (FetchError, bool)> {
        let unavailable = |cause: String| FetchError::Unavailable {
            name: name.into(),
            url: url.into(),
            cause,
        };
        let body = self
            .transport
            .open(url, 0)
            .map_err(|refusal| match refusal {
                Refusal::Gone | Refusal::NothingThere => (
                    FetchError::Gone {
                        name: name.into(),
                        urls: vec![url.into()],
                        snapshot: None,
                    },
                    false,
                ),
                Refusal::Transient(cause) => (unavailable(cause), true),
                Refusal::Permanent(cause) => (unavailable(cause), false),
            })?;
        let mut bytes = Vec::new();
        body.reader
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| (unavailable(e.to_string()), true))?;
        if bytes.len() as u64 > limit {
            return Err((
                unavailable(format!("it is larger than {limit} bytes")),
                false,
            ));
        }
        Ok(bytes)
    }
}
