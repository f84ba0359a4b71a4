// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk, as the command line names it.

use std::path::PathBuf;
use std::str::FromStr;

use cki_session::DiskRates;

use crate::format::Format;

/// `FILE[:ro][:format=raw|qcow2][:read-bps=RATE]...`, the last for each of [`DiskRates::NAMES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOption {
    /// The file.
    pub path: PathBuf,
    /// The container cannot write it.
    pub is_read_only: bool,
    /// What the user says of its format.
    pub format: Option<Format>,
    /// How fast it may be.
    pub rates: DiskRates,
}

impl DiskOption {
    /// The disk that is the file as it is, which can be written.
    #[must_use]
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        DiskOption {
            path: path.into(),
            is_read_only: false,
            format: Some(Format::Raw),
            rates: DiskRates::default(),
        }
    }
}

impl FromStr for DiskOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut path, mut is_read_only, mut format) = (text, None, None);
        let mut rates = DiskRates::default();
        while let Some((rest, word)) = path.rsplit_once(':') {
            match (word, word.strip_prefix("format=")) {
                ("ro" | "rw", _) if is_read_only.is_none() => is_read_only = Some(word == "ro"),
                (_, Some(name)) if format.is_none() => {
                    let found = Format::named(name);
                    let odd = || format!("the format {name:?} is neither raw nor qcow2");
                    format = Some(found.ok_or_else(odd)?);
                }
                _ => match word.split_once('=') {
                    Some((name, rate)) => match rates.named(name) {
                        Some(limit @ None) => {
                            let wrong = |error| format!("{name}: {error}");
                            *limit = Some(rate.parse().map_err(wrong)?);
                        }
                        _ => break,
                    },
                    // A colon of the file's name.
                    None => break,
                },
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
            rates,
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
            rates: DiskRates::default(),
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
            ("x:read-bps=fast", "read-bps: expected"),
            ("x:write-iops=0", "write-iops: a rate"),
            (":read-iops=9", "no file"),
        ] {
            let error = text.parse::<DiskOption>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_disk_may_have_limits_each_once() {
        let option = |text: &str| text.parse::<DiskOption>().unwrap();
        let limited = option("x:ro:read-bps=10M+64M:write-bps=1m:read-iops=100:write-iops=7");
        assert_eq!(limited.path, PathBuf::from("x"));
        assert!(limited.is_read_only);
        let words = ":read-bps=10M+64M:write-bps=1M:read-iops=100:write-iops=7";
        assert_eq!(limited.rates.to_string(), words);
        // As for every word, the second one is the file's name.
        let twice = option("x:read-iops=1:read-iops=2");
        assert_eq!(twice.path, PathBuf::from("x:read-iops=1"));
        let foreign = option("x:bps=1");
        assert_eq!(foreign.path, PathBuf::from("x:bps=1"));
        assert!(foreign.rates.is_empty());
    }
}
