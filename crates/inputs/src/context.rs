// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every operation on inputs needs.

use std::path::Path;
use std::sync::Arc;

use super::InputsError;
use super::cache::Cache;
use super::fetch::{Fetcher, Policy};
use super::mirrors::Mirrors;
use super::progress::{Cancel, Progress};
use cki_debian::release::Verifier;
use cki_nix::store::Nix;

/// Cache, mirrors, fetcher and Nix of one run of the program.
#[derive(Clone)]
pub struct Context {
    /// The download cache.
    pub cache: Cache,
    /// Where to download from.
    pub mirrors: Mirrors,
    /// Downloads into the cache.
    pub fetcher: Fetcher,
    /// How to call Nix.
    pub nix: Nix,
    /// Checks release files; `None` uses the keyring that apt uses for the suite.
    pub verifier: Option<Verifier>,
    /// Is told what goes on.
    pub progress: Arc<dyn Progress>,
    /// Stops the work.
    pub cancel: Cancel,
}

impl Context {
    /// The context of an ordinary run: the cache that the environment names, and the mirrors of this machine's apt unless
    /// `mirror` names one.
    ///
    /// # Errors
    /// [`InputsError::Fetch`] if there is no cache directory or `mirror` is not a URL of a mirror,
    /// [`InputsError::AptSources`] if apt's configuration cannot be read.
    pub fn new(
        mirror: Option<&str>,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
    ) -> Result<Self, InputsError> {
        let cache = Cache::open(Cache::default_directory()?)?;
        let mirrors = match mirror {
            Some(url) => Mirrors::named(url)?,
            None => Mirrors::from_apt(Path::new("/etc/apt"))?,
        };
        Self::with(
            cache,
            mirrors,
            Nix::default(),
            Policy::default(),
            progress,
            cancel,
        )
    }

    /// A context of given parts.
    ///
    /// # Errors
    /// See [`Fetcher::new`].
    pub fn with(
        cache: Cache,
        mirrors: Mirrors,
        nix: Nix,
        policy: Policy,
        progress: Arc<dyn Progress>,
        cancel: Cancel,
    ) -> Result<Self, InputsError> {
        let fetcher = Fetcher::new(
            cache.clone(),
            progress.clone(),
            cancel.clone(),
            policy,
            mirrors.proxies(),
        )?;
        Ok(Self {
            cache,
            mirrors,
            fetcher,
            nix,
            verifier: None,
            progress,
            cancel,
        })
    }
}
