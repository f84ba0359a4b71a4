// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every operation on inputs needs.

use std::sync::Arc;
use std::time::Duration;

use crate::downloads::{Downloads, Guard};
use crate::fetch::Fetcher;
use crate::fetch::download::Policy;
use crate::fetch_error::FetchError;
use crate::mirrors::Mirrors;
use crate::shown::Shown;
use crate::signature::Verifier;
use cki_nix::Nix;
use cki_process::cancel::Cancel;

/// Downloads, mirrors, fetcher and Nix of one run of the program.
#[derive(Clone)]
pub struct Inputs {
    /// What was downloaded.
    pub downloads: Downloads,
    /// Where to download from.
    pub mirrors: Mirrors,
    /// Downloads what is not there yet.
    pub fetcher: Fetcher,
    /// How to call Nix.
    pub nix: Nix,
    /// Checks release files, with Debian's own keys: what apt is told of an archive that somebody calls by the name of
    /// a suite is no reason to trust it.
    pub verifier: Verifier,
    /// Release files are taken that have expired by their own account.
    pub accept_expired: bool,
    /// Shows what goes on.
    pub shown: Arc<Shown>,
    /// Stops the work.
    pub cancel: Cancel,
}

impl Inputs {
    /// Everything of given parts.
    #[must_use]
    pub fn new(
        downloads: Downloads,
        mirrors: Mirrors,
        nix: Nix,
        policy: Policy,
        shown: Shown,
        cancel: Cancel,
    ) -> Self {
        let shown = Arc::new(shown);
        let proxied = mirrors.clone();
        let fetcher = Fetcher::new(
            downloads.clone(),
            shown.clone(),
            cancel.clone(),
            policy,
            move || proxied.proxies().clone(),
        );
        Self {
            downloads,
            mirrors,
            fetcher,
            nix,
            verifier: Verifier::default(),
            accept_expired: false,
            shown,
            cancel,
        }
    }

    /// The same, but what does not answer soon is given up: for what one can go on without.
    #[must_use]
    pub fn impatient(&self) -> Self {
        let proxied = self.mirrors.clone();
        let policy = Policy {
            retries: 0,
            patience: Duration::from_secs(5),
            whole: Some(Duration::from_secs(20)),
            ..Policy::default()
        };
        let fetcher = Fetcher::new(
            self.downloads.clone(),
            self.shown.clone(),
            self.cancel.clone(),
            policy,
            move || proxied.proxies().clone(),
        );
        Self {
            fetcher,
            ..self.clone()
        }
    }

    /// Waits until no other process downloads or imports, and keeps them from it until the result is dropped.
    ///
    /// # Errors
    /// See [`Downloads::lock`].
    pub fn lock(&self) -> Result<Guard, FetchError> {
        self.downloads.lock(&self.shown, &self.cancel)
    }
}
