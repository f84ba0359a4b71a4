// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a release stands on.

use std::collections::BTreeMap;

use cki_inputs::Inputs;
use cki_inputs::lock_json::LockFile;
use cki_nix::checkout::Checkout;
use cki_nix::{Nix, NixError, Target};
use cki_process::progress::{Progress, Step};

use crate::error::ReleaseError;

/// What a release stands on: a checkout, its lock files, and who builds its outputs.
pub trait Ground {
    /// Why one of them does not give what it is asked for.
    type Error: From<ReleaseError>;

    /// The checkout, whose commit is released.
    fn checkout(&self) -> &Checkout;

    /// Makes Nix commands.
    fn nix(&self) -> &Nix;

    /// Shows what is going on.
    fn progress(&self) -> Progress;

    /// The lock of Debian packages.
    ///
    /// # Errors
    /// If it cannot be read.
    fn lock(&self) -> Result<LockFile, Self::Error>;

    /// What operations on inputs need, showing `step` as what goes on.
    ///
    /// # Errors
    /// If there is nothing to download from, or no place for it.
    fn inputs(&self, step: Step) -> Result<Inputs, Self::Error>;

    /// The outputs of these names, built.
    ///
    /// # Errors
    /// If one cannot be built.
    fn outputs(&self, names: &[&str]) -> Result<BTreeMap<String, Target>, Self::Error>;

    /// A failure of Nix, with what only the checkout knows.
    fn explain(&self, error: NixError) -> Self::Error;
}
