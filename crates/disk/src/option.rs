// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk, as the command line names it.

use std::path::PathBuf;
use std::str::FromStr;

use crate::format::Format;

/// `FILE[:ro][:format=raw|qcow2]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOption {
    /// The file.
    pub path: PathBuf,
    /// The container cannot write it.
    pub is_read_only: bool,
    /// What the user says of its format.
    pub format: Option<Format>,
}

impl DiskOption {
    /// The disk that is the file as it is, which can be written.
    #[must_use]
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        DiskOption {
            path: path.into(),
            is_read_only: false,
            format: Some(Format::Raw),
        }
    }
}

impl FromStr for DiskOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut path, mut is_read_only, mut format) = (text, None, None);
        while let Some((rest, word)) = path.rsplit_once(':') {
            match (word, word.strip_prefix("format=")) {
                ("ro" | "rw", _) if is_read_only.is_none() => is_read_only = Some(word == "ro"),
                (_, Some(name)) if format.is_none() => {
                    let found = Format::named(name);
                    let odd = || format!("the format {name:?} is neither raw nor qcow2");
                    format = Some(found.ok_or_else(odd)?);
                }
                // A colon of the file's name.
                _ => break,
            }
            path = rest;
        }
        if path.is_empty() {
            return Err("no file is named; FILE or FILE:ro is wanted".to_owned());
        }
        Ok(DiskOption {
            path: path.into(),
            is_read_only: is_read_only.unwrap_or(false),
            format,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_a_file_and_what_it_is_used_as() {
        let option = |path: &str, is_read_only, format| DiskOption {
            path: path.into(),
            is_read_only,
            format,
        };
        for (text, expected) in [
            ("a:b", option("a:b", false, None)),
            ("a:b:rw", option("a:b", false, None)),
            ("/x:ro", option("/x", true, None)),
            ("x:ro:ro", option("x:ro", true, None)),
            ("x:format=raw", option("x", false, Some(Format::Raw))),
            ("x:ro:format=qcow2", option("x", true, Some(Format::Qcow2))),
            ("x:format=qcow2:ro", option("x", true, Some(Format::Qcow2))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for (text, reason) in [
            ("", "no file"),
            (":ro", "no file"),
            (":rw", "no file"),
            (":format=raw", "no file"),
            ("x:format=vmdk", "\"vmdk\" is neither"),
            ("x:format=", "\"\" is neither"),
        ] {
            let error = text.parse::<DiskOption>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
