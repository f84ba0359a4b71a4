// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each download needs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::Disk;
use super::download::Policy;
use crate::downloads::Downloads;
use crate::shown::Shown;
use crate::transport::Transport;
use cki_process::cancel::Cancel;

/// Where from, where to, and who is told.
#[derive(Clone)]
pub(super) struct Means {
    pub downloads: Downloads,
    pub transport: Arc<Transport>,
    pub disk: Arc<dyn Disk>,
    pub shown: Arc<Shown>,
    pub cancel: Cancel,
    pub policy: Policy,
    /// Hosts that did not answer however often they were asked.
    pub silent: Arc<Silent>,
}

/// Hosts that did not answer. With another mirror to go to, what comes next does not wait for them as long again.
#[derive(Default)]
pub(super) struct Silent(Mutex<BTreeSet<String>>);

impl Silent {
    /// `url`'s host did not answer.
    pub fn add(&self, url: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(host(url).to_owned());
    }

    /// How many retries are left for `url`.
    pub fn retries(&self, url: &str, usual: u32) -> u32 {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.contains(host(url)) { 0 } else { usual }
    }
}

/// Scheme, host and port.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}
