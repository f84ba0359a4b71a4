// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why there is no release.

use std::path::PathBuf;

use cki_inputs::InputsError;
use cki_nix::checkout::CheckoutError;

use crate::manifest::ManifestError;
use crate::signature::SignatureError;

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// What is released is a commit.
    #[error("{0}; a release is of a commit: commit the changes, or check the commit out elsewhere")]
    NoCommit(&'static str),
    /// There is neither a key to sign with nor anything to verify.
    #[error("give the key to sign with (--key FILE), or --verify and --signers FILE")]
    NoKey,
    /// There is something in the way.
    #[error("{0} is not empty; give another directory, or remove what is in it")]
    NotEmpty(PathBuf),
    /// Nix would take the path for something else.
    #[error(
        "{0} cannot be the path of a binary cache or of its key: Nix takes only letters, digits and `/._-` there"
    )]
    OddPath(PathBuf),
    /// The list of files.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The checkout.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// The lock files, or what they name.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// A file of ours.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}
