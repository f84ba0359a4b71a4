// SPDX-License-Identifier: MIT OR Apache-2.0

//! One download: mirrors in turn, attempts on each, resuming.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::download::{Download, FetchStats, is_late};
use super::means::Means;
use crate::fetch_error::FetchError;
use crate::transport::{Refusal, describe};
use cki_process::cancel::{Cancel, Interrupted};

const BUFFER: usize = 64 * 1024;

/// An attempt that moved on by this much is not counted as failed: a bad connection may need many.
const REAL_PROGRESS: u64 = 1024 * 1024;

pub(super) struct Job<'a> {
    means: &'a Means,
    download: &'a Download,
    stop: &'a Cancel,
    part: PathBuf,
    stats: FetchStats,
}

/// A failed attempt.
struct Failure {
    error: FetchError,
    /// Whether the same mirror may do better next time.
    again: bool,
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        FetchError::from(interrupted).into()
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self {
            error,
            again: false,
        }
    }
}

impl<'a> Job<'a> {
    pub fn new(means: &'a Means, download: &'a Download, stop: &'a Cancel) -> Self {
        let part = means.downloads.partial(&download.sha256);
        Self {
            means,
            download,
            stop,
            part,
            stats: FetchStats::default(),
        }
    }

    pub fn run(mut self) -> Result<FetchStats, FetchError> {
        let have = fs::metadata(&self.part).map_or(0, |m| m.len());
        if have > 0 {
            self.means.shown.arrived(&self.download.name, have);
        }
        self.stats.resumed_bytes = have.min(self.download.size);
        let mut failure: Option<FetchError> = None;
        for url in &self.download.urls {
            match self.try_mirror(url) {
                Ok(()) => {
                    self.stats.downloaded_files = 1;
                    return Ok(self.stats);
                }
                Err(error) if error.is_the_mirrors_fault() => {
                    failure = Some(self.worse(failure, error))
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| FetchError::NoMirror(self.download.name.clone())))
    }

    /// Which of two mirrors' failures to report. That a file is gone from one mirror says little if another one failed
    /// in another way; a wrong hash says most.
    fn worse(&self, old: Option<FetchError>, new: FetchError) -> FetchError {
        match (old, new) {
            (None, new) => new,
            (
                Some(FetchError::Gone {
                    mut urls,
                    name,
                    snapshot,
                }),
                FetchError::Gone { urls: more, .. },
            ) => {
                urls.extend(more);
                FetchError::Gone {
                    name,
                    urls,
                    snapshot,
                }
            }
            (Some(old @ FetchError::WrongHash { .. }), _)
            | (Some(old), FetchError::Gone { .. }) => old,
            (Some(_), new) => new,
        }
    }

    fn try_mirror(&mut self, url: &str) -> Result<(), FetchError> {
        let policy = self.means.policy;
        let retries = self.means.silent.retries(url, policy.retries);
        let (mut failures, mut pause) = (0, policy.backoff);
        // What is wrong although this mirror sent all of it is no beginning of before, however much of it there is.
        let mut was_wrong = false;
        loop {
            let before = fs::metadata(&self.part).map_or(0, |m| m.len());
            let failure = match self.attempt(url) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let after = fs::metadata(&self.part).map_or(0, |m| m.len());
            if after >= before.saturating_add(REAL_PROGRESS) {
                (failures, pause) = (0, policy.backoff);
            }
            failures += 1;
            let is_wrong = matches!(failure.error, FetchError::WrongHash { .. });
            if !failure.again || failures > retries || (is_wrong && was_wrong) {
                if matches!(failure.error, FetchError::Unavailable { .. }) {
                    self.means.silent.add(url);
                }
                return Err(failure.error);
            }
            was_wrong |= is_wrong;
            self.means
                .shown
                .note(&format!("{}; trying again", failure.error.in_short()));
            self.wait(pause)?;
            pause *= 2;
        }
    }

    fn wait(&self, pause: std::time::Duration) -> Result<(), FetchError> {
        self.stop.check()?;
        Ok(self.means.cancel.sleep(pause)?)
    }

    fn attempt(&mut self, url: &str) -> Result<(), Failure> {
        let size = self.download.size;
        let failed = |cause| FetchError::file(&self.part, cause);
        let (mut hash, mut have) = hash_beginning(&self.part).map_err(failed)?;
        if have > size {
            fs::remove_file(&self.part).map_err(failed)?;
            (hash, have) = (Sha256::new(), 0);
        }
        let mut resumed = have > 0;
        if have < size {
            self.receive(url, &mut hash, &mut have, &mut resumed)?;
        }
        let found = format!("{:x}", hash.finalize());
        if found == self.download.sha256 {
            let target = self.means.downloads.by_hash(&self.download.sha256);
            return fs::rename(&self.part, &target)
                .map_err(|e| FetchError::file(&target, e).into());
        }
        // A beginning that came from elsewhere, or a longer ago, may be what is wrong: once more without it.
        fs::remove_file(&self.part).map_err(|e| FetchError::file(&self.part, e))?;
        self.means.shown.lost(have);
        self.stats.resumed_bytes = 0;
        let (name, url, expected) = (
            self.download.name.clone(),
            url.into(),
            self.download.sha256.clone(),
        );
        Err(Failure {
            error: FetchError::WrongHash {
                name,
                url,
                expected,
                found,
            },
            again: resumed,
        })
    }

    /// Appends what the mirror sends to the `.part` file.
    fn receive(
        &mut self,
        url: &str,
        hash: &mut Sha256,
        have: &mut u64,
        resumed: &mut bool,
    ) -> Result<(), Failure> {
        let Download { name, size, .. } = self.download;
        let (name, size) = (name.clone(), *size);
        let truncated = |got: u64, cause: String| FetchError::Truncated {
            name: name.clone(),
            url: url.into(),
            got,
            size,
            cause,
        };
        let unavailable = |cause| FetchError::Unavailable {
            name: name.clone(),
            url: url.into(),
            cause,
        };
        self.stop.check()?;
        self.means.cancel.check()?;
        let deadline = self.means.policy.deadline();
        let mut body = self
            .means
            .transport
            .open(url, *have)
            .map_err(|refusal| match refusal {
                Refusal::Gone => {
                    let snapshot = self.download.snapshot.clone();
                    Failure::from(FetchError::Gone {
                        name: name.clone(),
                        urls: vec![url.into()],
                        snapshot,
                    })
                }
                Refusal::NothingThere => {
                    truncated(*have, "the mirror has no more of it".into()).into()
                }
                Refusal::Transient(cause) => Failure {
                    error: unavailable(cause),
                    again: true,
                },
                Refusal::Permanent(cause) => unavailable(cause).into(),
                Refusal::Proxy(through, cause) => Failure::from(FetchError::Proxy {
                    name: name.clone(),
                    url: url.into(),
                    through,
                    cause,
                }),
            })?;
        if body.start != *have {
            // The server does not know ranges and sends everything.
            truncate(&self.part).map_err(|e| FetchError::file(&self.part, e))?;
            self.means.shown.lost(*have);
            self.stats.resumed_bytes = 0;
            (*hash, *have, *resumed) = (Sha256::new(), 0, false);
        }
        let mut out = self
            .means
            .disk
            .append(&self.part)
            .map_err(|e| FetchError::file(&self.part, e))?;
        let mut buffer = vec![0; BUFFER];
        // One byte more than expected is enough to know that it is not the file.
        while *have <= size {
            self.stop.check()?;
            self.means.cancel.check()?;
            if let Some(cause) = is_late(deadline) {
                return Err(truncated(*have, cause).into());
            }
            let count = match body.reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    return Err(Failure {
                        error: truncated(*have, describe(&e)),
                        again: true,
                    });
                }
            };
            // Another job may own the file by now.
            self.stop.check()?;
            out.write_all(&buffer[..count])
                .map_err(|e| FetchError::file(&self.part, e))?;
            hash.update(&buffer[..count]);
            *have += count as u64;
            self.stats.downloaded_bytes += count as u64;
            self.means.shown.arrived(&self.download.name, count as u64);
        }
        out.flush().map_err(|e| FetchError::file(&self.part, e))?;
        if *have < size {
            return Err(Failure {
                error: truncated(*have, "the connection was closed".into()),
                again: true,
            });
        }
        Ok(())
    }
}

/// The hash state after what is there of a file, and how much that is.
fn hash_beginning(path: &Path) -> io::Result<(Sha256, u64)> {
    let mut hash = Sha256::new();
    match File::open(path) {
        Ok(mut file) => {
            let length = io::copy(&mut file, &mut hash)?;
            Ok((hash, length))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((hash, 0)),
        Err(e) => Err(e),
    }
}

fn truncate(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.set_len(0)
}
