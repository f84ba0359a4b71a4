// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloading files whose hash is known.
//!
//! Each file ends up in the cache under its hash or not at all. What arrived before a failure stays in a `.part` file
//! and is not downloaded again. Several mirrors are tried in turn; network failures are retried with growing pauses.

pub mod disk;
pub mod download;
mod job;
pub mod look;
mod means;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::apt_proxy::Proxies;
use crate::downloads::Downloads;
use crate::fetch_error::FetchError;
use crate::shown::Shown;
use crate::transport::{Refusal, Transport};
use cki_process::cancel::{Cancel, Interrupted};
use disk::{Disk, RealDisk};
use download::{Download, FetchStats, Policy, is_late};
use job::Job;
use means::Means;

/// Downloads into the cache. The caller holds its lock.
#[derive(Clone)]
pub struct Fetcher(Means);

impl Fetcher {
    /// A fetcher that writes to the real disk. The proxies are asked for when something is to be downloaded.
    #[must_use]
    pub fn new(
        downloads: Downloads,
        shown: Arc<Shown>,
        cancel: Cancel,
        policy: Policy,
        proxies: impl Fn() -> Proxies + Send + Sync + 'static,
    ) -> Self {
        let transport = Arc::new(Transport::new(policy.patience, Box::new(proxies)));
        Self(Means {
            downloads,
            transport,
            disk: Arc::new(RealDisk),
            shown,
            cancel,
            policy,
            silent: Arc::default(),
        })
    }

    /// Writes through something else, for tests.
    #[must_use]
    pub fn with_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.0.disk = disk;
        self
    }

    /// Brings all the files into the cache.
    ///
    /// # Errors
    /// The first error that one of the downloads met; the others are then stopped. What arrived stays in the cache.
    /// [`FetchError::Setup`] if the TLS library cannot be set up, or a proxy's URL is invalid.
    pub fn fetch(&self, downloads: &[Download]) -> Result<FetchStats, FetchError> {
        let mut stats = FetchStats::default();
        let mut queue = VecDeque::new();
        let mut seen = BTreeSet::new();
        for download in downloads.iter().filter(|d| seen.insert(d.sha256.as_str())) {
            if self.0.downloads.has(&download.sha256, download.size) {
                stats.cached_files += 1;
            } else {
                queue.push_back(download.clone());
            }
        }
        if queue.is_empty() {
            return Ok(stats);
        }
        self.0.transport.prepare().map_err(FetchError::Setup)?;
        let bytes = queue.iter().map(|d| d.size).sum();
        self.check_space(&queue)?;
        self.0.shown.begin(queue.len(), bytes);
        let result = self.run(queue);
        stats.add(result?);
        Ok(stats)
    }

    /// Refuses to start what the disk cannot hold.
    fn check_space(&self, queue: &VecDeque<Download>) -> Result<(), FetchError> {
        let have = |d: &Download| {
            std::fs::metadata(self.0.downloads.partial(&d.sha256)).map_or(0, |m| m.len())
        };
        let needed = queue.iter().map(|d| d.size.saturating_sub(have(d))).sum();
        // A file system that does not tell is no reason to stop: writing will show.
        match self.0.disk.free(self.0.downloads.root()) {
            Ok(free) if free < needed => Err(FetchError::DiskFull {
                path: self.0.downloads.root().into(),
                needed: Some(needed),
                free: Some(free),
            }),
            _ => Ok(()),
        }
    }

    fn run(&self, queue: VecDeque<Download>) -> Result<FetchStats, FetchError> {
        let mut left = queue.len();
        let workers = self.0.policy.parallel.clamp(1, left);
        let queue = Arc::new(Mutex::new(queue));
        let (sender, results) = mpsc::channel();
        // Set when one download fails, so that the others stop too; the caller's flag is not ours to set.
        let stop = Cancel::new();
        for _ in 0..workers {
            let (queue, sender, stop, means) =
                (queue.clone(), sender.clone(), stop.clone(), self.0.clone());
            thread::spawn(move || {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(download) = next.filter(|_| !stop.is_set()) else {
                        return;
                    };
                    let result = Job::new(&means, &download, &stop).run();
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
                Err(RecvTimeoutError::Timeout) if self.0.cancel.is_set() => {
                    return failed(Interrupted.into());
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

    /// Gets a file whose hash is not known in advance, such as a suite's InRelease, and the mirror's date. It is not
    /// cached.
    ///
    /// # Errors
    /// That of the last mirror. A file of more than `limit` bytes is refused.
    pub fn fetch_unpinned(
        &self,
        name: &str,
        urls: &[String],
        limit: u64,
    ) -> Result<(Vec<u8>, Option<SystemTime>), FetchError> {
        let mut last = FetchError::NoMirror(name.into());
        for url in urls {
            let mut pause = self.0.policy.backoff;
            for attempt in 0..=self.0.policy.retries {
                self.0.cancel.check()?;
                match self.read_whole(name, url, limit) {
                    Ok(read) => return Ok(read),
                    Err((error, again)) => {
                        let again = again && attempt < self.0.policy.retries;
                        last = error;
                        if !again {
                            break;
                        }
                        self.0
                            .shown
                            .note(&format!("{}; trying again", last.in_short()));
                        self.0.cancel.sleep(pause)?;
                        pause *= 2;
                    }
                }
            }
        }
        Err(last)
    }

    fn read_whole(
        &self,
        name: &str,
        url: &str,
        limit: u64,
    ) -> Result<(Vec<u8>, Option<SystemTime>), (FetchError, bool)> {
        let unavailable = |cause: String| FetchError::Unavailable {
            name: name.into(),
            url: url.into(),
            cause,
        };
        let deadline = self.0.policy.deadline();
        let body = self
            .0
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
                Refusal::Proxy(through, cause) => (
                    FetchError::Proxy {
                        name: name.into(),
                        url: url.into(),
                        through,
                        cause,
                    },
                    false,
                ),
            })?;
        let mut reader = body.reader;
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            self.0.cancel.check().map_err(|e| (e.into(), false))?;
            if let Some(cause) = is_late(deadline) {
                return Err((unavailable(cause), false));
            }
            match reader.read(&mut buffer) {
                Ok(0) => return Ok((bytes, body.date)),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err((unavailable(e.to_string()), true)),
            }
            if bytes.len() as u64 > limit {
                let cause = format!("it is larger than {limit} bytes");
                return Err((unavailable(cause), false));
            }
        }
    }
}
