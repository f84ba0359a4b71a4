// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that can go wrong with inputs.

use std::path::PathBuf;

use crate::cargo::CargoError;
use crate::fetch_error::FetchError;
use crate::image_lock::ImageLockError;
use crate::lock_json::LockFileError;
use crate::request::RequestError;
use crate::signature::SignatureError;
use cki_debian::apt_sources::AptSourcesError;
use cki_debian::deb::DebError;
use cki_debian::index::IndexError;
use cki_debian::resolver::ResolveError;
use cki_nix::store::StoreError;
use cki_process::cancel::Interrupted;

/// An error of this module or of one that it uses.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// apt's configuration cannot be read.
    #[error(transparent)]
    AptSources(#[from] AptSourcesError),
    /// A suite's release file cannot be trusted or read.
    #[error(transparent)]
    Release(#[from] SignatureError),
    /// A suite's index cannot be read.
    #[error("{name}: {cause}")]
    Index {
        /// Suite and file.
        name: String,
        /// What is wrong.
        cause: IndexError,
    },
    /// A package is asked for from a suite that is not pinned.
    #[error("there is no suite {suite}, which {name} is to come from; pinned are {}", .known.join(", "))]
    NoSuite {
        /// What is asked for.
        name: String,
        /// The suite.
        suite: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A suite lacks an index that is asked for.
    #[error("the archive has no {path} in {suite}; check `suites` in request.toml")]
    NoIndex {
        /// The suite.
        suite: String,
        /// Path below `dists/SUITE/`.
        path: String,
    },
    /// A release file says itself that it should no longer be believed.
    #[error(
        "{label} has expired ({end}): the mirror is no longer updated, or holds back what is new, or this machine's \
         clock is wrong (see `date`). Use another mirror with `--mirror URL`; for a snapshot or an archive that is no \
         longer maintained, `cki-build lock --accept-expired`"
    )]
    Expired {
        /// The file.
        label: String,
        /// Its last day, as written there.
        end: String,
    },
    /// The clock is more likely wrong than the mirror.
    #[error(
        "{doubt}; set it if it is wrong (see `date`), and run the command again. With it as it is: {error}"
    )]
    Clock {
        /// Why.
        doubt: String,
        /// What would be wrong if it were right.
        error: String,
    },
    /// A release file is older than the one that is pinned, or known from before.
    #[error(
        "{label} is of {found}, and one of {pinned} is known: the mirror lags behind, or holds back what is new; use \
         another one with `--mirror URL`"
    )]
    GoesBack {
        /// The file.
        label: String,
        /// The date that is known.
        pinned: String,
        /// The mirror's.
        found: String,
    },
    /// The mirror does not have a security update.
    #[error(
        "the mirror has no {package} as {suite} listed it ({found}): it has dropped it, or does not have it yet. Run \
         the command again, which asks the archive anew (an image's lock file has to be removed for that), or use \
         `--pinned`"
    )]
    UpdateGone {
        /// The package.
        package: String,
        /// The suite of updates.
        suite: String,
        /// What is there.
        found: String,
    },
    /// A package or version does not exist, or two do not fit together.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The lock file cannot be read.
    #[error(transparent)]
    LockFile(#[from] LockFileError),
    /// An image's lock file cannot be used.
    #[error(transparent)]
    ImageLock(#[from] ImageLockError),
    /// Nix failed, or is not there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The crates of Cargo.lock could not be had.
    #[error(transparent)]
    Cargo(#[from] CargoError),
    /// The seed cannot be unpacked.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// The seed's program is not the one that is pinned, though its package is: the lock file is wrong.
    #[error(
        "the program in {package} has the hash {found}, but {expected} is pinned; \
         restore lock.json from version control or make it anew with `cki-build lock --update`"
    )]
    Seed {
        /// The package.
        package: String,
        /// The pinned hash.
        expected: String,
        /// The hash of what is in the package.
        found: String,
    },
    /// The work was told to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A file in the cache was damaged after it was verified.
    #[error("{} was damaged on the disk; it was removed: run the command again", .0.display())]
    Damaged(PathBuf),
}
