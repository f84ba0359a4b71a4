// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the root file system of a program is put together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image_path::{ImagePath, NoMountPoint};
use crate::memory::Memory;
use crate::volume::Volume;

/// What is done to the file system of the image before the program finds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Whether it cannot be written. What is mounted in it can: `/dev/shm`, `/run`, `/tmp` and `tmpfs`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// File systems in memory, mounted in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// Directories of the user's, mounted after those, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

impl Root {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.read_only && self.tmpfs.is_empty() && self.volumes.is_empty()
    }
}

/// A file system in memory.
///
/// Text and JSON have the same form: `/var/cache`, `/data:size=64M,mode=1777`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tmpfs {
    path: String,
    size: Option<Memory>,
    mode: Option<u16>,
}

impl Tmpfs {
    /// Where it is mounted: an absolute path other than `/`, without `..`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it holds at most; half of the memory if nothing is said.
    #[must_use]
    pub const fn size(&self) -> Option<Memory> {
        self.size
    }

    /// Access to its top directory, 1777 (octal) if nothing is said.
    #[must_use]
    pub fn mode(&self) -> u16 {
        self.mode.unwrap_or(0o1777)
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size.map(|size| format!("size={size}"));
        let mode = self.mode.map(|mode| format!("mode={mode:o}"));
        let options: Vec<_> = size.into_iter().chain(mode).collect();
        formatter.write_str(&self.path)?;
        if !options.is_empty() {
            write!(formatter, ":{}", options.join(","))?;
        }
        Ok(())
    }
}

impl FromStr for Tmpfs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        ImagePath::mount_point(path).map_err(|error| match error {
            NoMountPoint::Form => "expected an absolute path in the image, without ..",
            NoMountPoint::Root => "the root itself cannot be a tmpfs",
        })?;
        let mut tmpfs = Tmpfs {
            path: path.to_owned(),
            size: None,
            mode: None,
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", size)) => {
                    let size = size.parse().map_err(|error| format!("size: {error}"))?;
                    tmpfs.size = Some(size);
                }
                Some(("mode", mode)) => {
                    let octal = u16::from_str_radix(mode, 8).ok();
                    let mode = octal.filter(|mode| *mode <= 0o7777);
                    tmpfs.mode = Some(mode.ok_or("mode is an octal number such as 1777")?);
                }
                // What it is in any case.
                None if option == "rw" => {}
                _ => {
                    return Err(format!(
                        "there is no option {option:?}; there are size=SIZE, mode=MODE and rw"
                    ));
                }
            }
        }
        Ok(tmpfs)
    }
}

impl From<Tmpfs> for String {
    fn from(tmpfs: Tmpfs) -> Self {
        tmpfs.to_string()
    }
}

impl TryFrom<String> for Tmpfs {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
