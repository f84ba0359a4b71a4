// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk with the application image, as the emulator is told of it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The disk with the application image. Which one it is decides whoever makes it, not the file's contents: a
/// descriptor names other files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppDisk {
    /// The file is the disk.
    Raw(PathBuf),
    /// The file says of which files the disk is composed: a VMDK descriptor that we have written.
    Composed(PathBuf),
}

impl AppDisk {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Raw(file) | Self::Composed(file) => file,
        }
    }

    /// The same file by its absolute path, for a process in another directory.
    ///
    /// # Errors
    /// When the current directory is gone.
    pub(crate) fn absolute(&self) -> io::Result<Self> {
        let file = std::path::absolute(self.file())?;
        Ok(match self {
            Self::Raw(_) => Self::Raw(file),
            Self::Composed(_) => Self::Composed(file),
        })
    }

    /// QEMU's name for its format.
    pub(crate) const fn format(&self) -> &'static str {
        match self {
            Self::Raw(_) => "raw",
            Self::Composed(_) => "vmdk",
        }
    }
}

impl From<PathBuf> for AppDisk {
    fn from(file: PathBuf) -> Self {
        Self::Raw(file)
    }
}
