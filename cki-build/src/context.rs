// SPDX-License-Identifier: MIT OR Apache-2.0

//! What most commands need.

use std::sync::OnceLock;

use crate::cli::Global;
use crate::error::Error;
use crate::resident::VARIABLE;
use cki_machine::tsc::Measurement;
use cki_nix::Nix;
use cki_nix::cache::Cache;
use cki_nix::checkout::Checkout;
use cki_process::progress::Progress;

/// What most commands need.
#[derive(Debug, Clone)]
pub struct Context {
    /// Options of every command.
    pub global: Global,
    /// Shows what is going on.
    pub progress: Progress,
    /// The checkout.
    pub checkout: Checkout,
    /// Our memory.
    pub cache: Cache,
    /// Makes Nix commands.
    pub nix: Nix,
    /// The machine that stays up of those who name none ([`VARIABLE`]).
    pub machine: Option<String>,
    /// Of the time stamp counter's frequency, begun before anything else: whoever starts a machine waits for it.
    pub counter: Measurement,
    /// What the checkout was when it was first asked for; none when it cannot be told.
    fingerprint: OnceLock<Option<String>>,
}

impl Context {
    /// Finds the checkout and opens the cache.
    ///
    /// # Errors
    /// Those of both.
    pub fn new(global: &Global) -> Result<Self, Error> {
        Self::of(global, Checkout::find(global.flake.as_deref())?)
    }

    /// The same for what looks at the cache alone, where a machine that stays up and old images are found: whoever is
    /// elsewhere has no checkout, and is asked for none.
    ///
    /// # Errors
    /// Those of the cache.
    pub fn of_the_cache(global: &Global) -> Result<Self, Error> {
        let nowhere = || Checkout {
            dir: "/".into(),
            git: None,
        };
        let found = Checkout::find(global.flake.as_deref());
        Self::of(global, found.unwrap_or_else(|_| nowhere()))
    }

    fn of(global: &Global, checkout: Checkout) -> Result<Self, Error> {
        let counter = Measurement::start();
        let machine = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        Ok(Self {
            counter,
            // What is no text is no name, which is said when it is asked for.
            machine: machine.map(|name| name.to_string_lossy().into_owned()),
            global: global.clone(),
            progress: Progress::new(global.quiet),
            checkout,
            cache: Cache::open(global.cache.as_deref())?,
            nix: Nix::current(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Adds what only the checkout knows to a failure of Nix.
    pub fn explain(&self, error: cki_nix::NixError) -> Error {
        let untracked = match self.checkout.state() {
            Ok(Some(state)) => state.untracked,
            Ok(None) | Err(_) => Vec::new(),
        };
        error.with_untracked(&untracked).into()
    }

    /// Key for what depends on the checkout and on `what`; none when the checkout cannot be told apart
    /// from another.
    ///
    /// # Errors
    /// Those of asking git.
    pub fn key(&self, kind: &str, what: &str) -> Result<Option<String>, Error> {
        Ok(self.key_of(self.checkout.fingerprint()?.as_deref(), kind, what))
    }

    /// The same for the checkout as it was when this was first asked, to look for what is remembered: git is
    /// asked once. What is built now is remembered by [`Context::key`], before and after: the checkout may change.
    ///
    /// # Errors
    /// Those of asking git.
    pub fn first_key(&self, kind: &str, what: &str) -> Result<Option<String>, Error> {
        let print = match self.fingerprint.get() {
            Some(print) => print,
            None => {
                let print = self.checkout.fingerprint()?;
                self.fingerprint.get_or_init(|| print)
            }
        };
        Ok(self.key_of(print.as_deref(), kind, what))
    }

    fn key_of(&self, fingerprint: Option<&str>, kind: &str, what: &str) -> Option<String> {
        let store = self.nix.store.to_string_lossy();
        fingerprint.map(|print| Cache::key(&[kind, "1", print, what, &store]))
    }
}
