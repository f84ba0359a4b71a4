// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing to the cache, behind a trait so that tests can fill the disk.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Where downloads are written to.
pub trait Disk: Send + Sync {
    /// Opens a file to write at its end; creates it if it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Write + Send>>;

    /// Bytes that may still be written to the file system of `path`.
    ///
    /// # Errors
    /// When the file system does not tell.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn append(&self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(
            OpenOptions::new().append(true).create(true).open(path)?,
        ))
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
