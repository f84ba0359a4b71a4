// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `release` is asked for.

use std::path::PathBuf;

use clap::Args;

/// `release`
#[derive(Debug, Clone, Args)]
pub struct Release {
    /// The directory: an empty one or none to write it, or the one to verify
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// SSH key to sign with: a private key, or a public one whose private half an agent has
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    pub key: Option<PathBuf>,
    /// Key to sign the binary cache with, as `nix-store --generate-binary-cache-key` makes it; without it there is
    /// no cache
    #[arg(long, value_name = "FILE")]
    pub cache_key: Option<PathBuf>,
    /// Release these outputs of the flake; may be repeated [default: what a user installs]
    #[arg(long = "output", value_name = "ATTR")]
    pub outputs: Vec<String>,
    /// URI of who builds, for the provenance
    #[arg(long, value_name = "URI", default_value = "urn:cki:builder:unnamed")]
    pub builder: String,
    /// Verify the release in DIR: signature, every file, and what it says of itself against the checkout
    #[arg(long, conflicts_with_all = ["key", "cache_key", "outputs", "builder"], requires = "signers")]
    pub verify: bool,
    /// With --verify: who is trusted, lines of a name and a public key (ALLOWED SIGNERS in ssh-keygen(1))
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub signers: Option<PathBuf>,
    /// With --verify: also build the outputs here, unless the store has them, and compare
    #[arg(long, requires = "verify")]
    pub rebuild: bool,
}
