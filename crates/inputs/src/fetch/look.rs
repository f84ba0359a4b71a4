// SPDX-License-Identifier: MIT OR Apache-2.0

//! Asking mirrors whether they still have files, without downloading these.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Fetcher;
use super::download::Download;
use crate::fetch_error::FetchError;
use crate::transport::Refusal;
use cki_process::cancel::Interrupted;

/// Questions under way at the same time: each is a few hundred bytes, so waiting for the answers takes all the time.
const PARALLEL: usize = 8;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Somebody has it.
    There,
    /// Nobody has it any more.
    Gone,
    /// It could not be found out, and why.
    Unclear(String),
}

impl Fetcher {
    /// For each of `downloads`, whether one of its URLs still answers, and with a file of its size, if it says
    /// so. Whether that has the same contents is not looked at.
    ///
    /// # Errors
    /// [`FetchError::Interrupted`]; [`FetchError::Setup`].
    pub fn look(&self, downloads: &[Download]) -> Result<Vec<Answer>, FetchError> {
        self.0.transport.prepare().map_err(FetchError::Setup)?;
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let answers: Mutex<Vec<Option<Answer>>> = Mutex::new(vec![None; downloads.len()]);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(download) = downloads.get(number) else {
                    return;
                };
                // Interrupted: what is left out tells.
                let Ok(answer) = self.look_for(download) else {
                    return;
                };
                answers.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(answer);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                self.0.shown.asked(&download.name, done, downloads.len());
            }
        };
        thread::scope(|scope| {
            for _ in 0..PARALLEL.min(downloads.len()) {
                scope.spawn(work);
            }
        });
        let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let all: Option<Vec<Answer>> = answers.into_iter().collect();
        all.ok_or_else(|| Interrupted.into())
    }

    fn look_for(&self, download: &Download) -> Result<Answer, Interrupted> {
        if download.urls.is_empty() {
            let cause = "no mirror is known for it; give one with `--mirror URL`";
            return Ok(Answer::Unclear(cause.into()));
        }
        let mut answer = Answer::Gone;
        for url in &download.urls {
            match self.look_at(url)? {
                // A network that wants a login answers with a page of its own, whatever it is asked for.
                Ok(Some(length)) if length != download.size => {
                    let size = download.size;
                    answer = Answer::Unclear(format!("{url}: it has {length} bytes, not {size}"));
                }
                Ok(_) => return Ok(Answer::There),
                Err(Refusal::Gone | Refusal::NothingThere) => {}
                Err(Refusal::Permanent(cause) | Refusal::Transient(cause)) => {
                    answer = Answer::Unclear(format!("{url}: {cause}"));
                }
                Err(Refusal::Proxy(through, cause)) => {
                    let (proxy, source) = (through.proxy, through.source);
                    let cause = format!("{url}: the proxy {proxy} of {source}: {cause}");
                    answer = Answer::Unclear(cause);
                }
            }
        }
        Ok(answer)
    }

    /// The answer of one mirror, with retries: how long the file is.
    fn look_at(&self, url: &str) -> Result<Result<Option<u64>, Refusal>, Interrupted> {
        let mut pause = self.0.policy.backoff;
        let mut left = self.0.policy.retries;
        loop {
            self.0.cancel.check()?;
            match self.0.transport.look(url) {
                Err(Refusal::Transient(_)) if left > 0 => {
                    left -= 1;
                    self.0.cancel.sleep(pause)?;
                    pause *= 2;
                }
                other => return Ok(other),
            }
        }
    }
}
