// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong with a download or with the cache that keeps it; each message names the cause and what to do.
//!
//! It stands beside [`crate::fetch`], which it is not a part of: the cache has it too, and so have the files that pin
//! something.

use std::io;
use std::path::{Path, PathBuf};

use crate::proxy::Through;
use cki_process::cancel::Interrupted;

/// Why a file could not be downloaded, kept or written.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The mirror has another file under this name than the one that is pinned.
    #[error(
        "{name}: {url} is not the pinned file (SHA-256 {found} instead of {expected}); it was thrown away. \
         Use another mirror with `--mirror URL`, or pin what the archive has now with `cki-build lock --update`"
    )]
    WrongHash {
        /// What was downloaded.
        name: String,
        /// From where.
        url: String,
        /// The pinned hash.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// The connection ended early, several times in a row.
    #[error(
        "{name}: {url} ended after {got} of {size} bytes ({cause}). \
         Run the command again, it goes on where it stopped; or use another mirror with `--mirror URL`"
    )]
    Truncated {
        /// What was downloaded.
        name: String,
        /// From where.
        url: String,
        /// Bytes that are there.
        got: u64,
        /// Bytes that there should be.
        size: u64,
        /// How it ended.
        cause: String,
    },
    /// No mirror has the file any more.
    #[error(
        "{name} is no longer on the mirror ({}). Pin what the archive has now with `cki-build lock --update`, \
         or give a mirror that keeps old files with `--mirror URL`{}",
        .urls.join(", "),
        .snapshot.as_ref().map_or_else(String::new, |s| format!(", such as a snapshot archive of {s}"))
    )]
    Gone {
        /// The package or index.
        name: String,
        /// Where it was looked for.
        urls: Vec<String>,
        /// Date of an archive that had it, as snapshot archives write it.
        snapshot: Option<String>,
    },
    /// No archive is configured that could have the suite.
    #[error(
        "no mirror is known for {0}: apt is not configured for a Debian archive. \
         Give one with `--mirror URL` (the URL below which dists/ and pool/ are)"
    )]
    NoMirror(String),
    /// `--mirror` was given something else than an http, https or file URL.
    #[error(
        "'{0}' is no mirror: it must be an http:, https: or file: URL below which dists/ and pool/ are"
    )]
    BadMirror(String),
    /// The mirror cannot be reached or refuses.
    #[error(
        "{name}: cannot get {url}: {cause}. Check the network and the proxy settings, or use another mirror with \
         `--mirror URL`"
    )]
    Unavailable {
        /// What was to be downloaded.
        name: String,
        /// From where.
        url: String,
        /// What went wrong.
        cause: String,
    },
    /// The proxy before the mirror cannot be reached, or refuses.
    #[error(
        "{name}: the proxy {}, which {} names, does not lead to {url}: {cause}. Start it or correct that setting; \
         `no_proxy=HOST` in the environment goes past it",
        .through.proxy, .through.source
    )]
    Proxy {
        /// What was to be downloaded.
        name: String,
        /// From where.
        url: String,
        /// The proxy.
        through: Through,
        /// What went wrong.
        cause: String,
    },
    /// There is not enough space.
    #[error(
        "the disk that holds {} is full{}. Free some space, or put the cache elsewhere with CKI_CACHE=DIRECTORY; \
         what was downloaded stays and is not downloaded again",
        .path.display(),
        space(*.needed, *.free)
    )]
    DiskFull {
        /// File or directory.
        path: PathBuf,
        /// Bytes that are needed, if known.
        needed: Option<u64>,
        /// Bytes that are free, if known.
        free: Option<u64>,
    },
    /// The work was told to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Reading or writing the cache failed.
    #[error("cannot use {path}: {cause}")]
    File {
        /// File or directory.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot download: {0}")]
    Setup(String),
}

fn space(needed: Option<u64>, free: Option<u64>) -> String {
    match (needed, free) {
        (Some(needed), Some(free)) => format!(
            ": {} are needed, {} are free",
            megabytes(needed),
            megabytes(free)
        ),
        _ => String::new(),
    }
}

/// Bytes as text, in decimal megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// Whether the error means that the file system, or the user's share of it, is full.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl FetchError {
    /// The error for a failed operation on a file.
    pub(crate) fn file(path: &Path, cause: io::Error) -> Self {
        if is_disk_full(&cause) {
            Self::DiskFull {
                path: path.into(),
                needed: None,
                free: None,
            }
        } else {
            Self::File {
                path: path.into(),
                cause,
            }
        }
    }

    /// The error in a few words, for notes about retries: without what to do, as nothing has to be done yet.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::Truncated {
                name,
                got,
                size,
                cause,
                ..
            } => {
                format!(
                    "{name}: {cause}, after {} of {}",
                    megabytes(*got),
                    megabytes(*size)
                )
            }
            Self::Unavailable { name, cause, .. } => format!("{name}: {cause}"),
            Self::WrongHash { name, .. } => {
                format!("{name}: what was left of an earlier download was damaged")
            }
            other => other.to_string(),
        }
    }

    /// Whether the archive no longer has the file as it was. That a mirror cannot be reached says nothing of that.
    pub(crate) const fn has_moved_on(&self) -> bool {
        matches!(
            self,
            Self::Gone { .. } | Self::WrongHash { .. } | Self::Truncated { .. }
        )
    }

    /// Whether another mirror may do better.
    pub(crate) fn is_the_mirrors_fault(&self) -> bool {
        matches!(
            self,
            Self::WrongHash { .. }
                | Self::Truncated { .. }
                | Self::Gone { .. }
                | Self::Unavailable { .. }
                | Self::Proxy { .. }
        )
    }
}
