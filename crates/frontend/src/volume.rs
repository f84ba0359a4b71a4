// SPDX-License-Identifier: MIT OR Apache-2.0

//! A directory of the user's, as the command line names it.

use std::path::PathBuf;
use std::str::FromStr;

use cki_session::Volume;

/// `DIR:PATH[:ro]`: what the program is to find, where, and whether it may change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOption {
    /// The user's directory.
    pub directory: PathBuf,
    /// Where the program finds it.
    pub path: String,
    /// Whether nothing in it can be changed.
    pub is_read_only: bool,
}

impl VolumeOption {
    /// What a request says of it; `index` tells the volumes of a program apart.
    #[must_use]
    pub fn volume(&self, index: usize) -> Volume {
        Volume {
            name: format!("volume{index}"),
            path: self.path.clone(),
            read_only: self.is_read_only,
        }
    }
}

impl FromStr for VolumeOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, is_read_only) = match text.rsplit_once(':') {
            Some((rest, "ro")) => (rest, true),
            Some((rest, "rw")) => (rest, false),
            _ => (text, false),
        };
        let Some((directory, path)) = rest.rsplit_once(':').filter(|(dir, _)| !dir.is_empty())
        else {
            return Err("expected DIR:PATH or DIR:PATH:ro".to_owned());
        };
        let option = VolumeOption {
            directory: directory.into(),
            path: path.to_owned(),
            is_read_only,
        };
        option
            .volume(0)
            .check()
            .map_err(|error| error.to_string())?;
        Ok(option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_directory_a_place_and_perhaps_read_only() {
        for (text, directory, path, is_read_only) in [
            (".:/work", ".", "/work", false),
            ("/home/a:b:/data:ro", "/home/a:b", "/data", true),
            ("x:/ro", "x", "/ro", false),
            ("x:/y:rw", "x", "/y", false),
        ] {
            let expected = VolumeOption {
                directory: directory.into(),
                path: path.to_owned(),
                is_read_only,
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        for text in [
            "", "x", "/data", ":/data", "x:", "x:data", "x:/", "x:/..", "x:ro", "x:/a:rx",
        ] {
            assert!(text.parse::<VolumeOption>().is_err(), "{text}");
        }
    }
}
