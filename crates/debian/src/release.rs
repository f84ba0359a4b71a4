// SPDX-License-Identifier: MIT OR Apache-2.0

//! Release files: `dists/SUITE/InRelease` says which indexes a suite has, with their hashes, and until when to believe
//! it. Its signature is another matter, which `cki-inputs` has checked first.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::control::{self, ControlError};
use super::index::{is_relative_path, is_sha256};

/// A file that a release lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// The contents of a release file whose signature was good.
#[derive(Debug, Clone)]
pub struct Release {
    /// The suite's name that does not change over time (`bookworm`).
    pub codename: String,
    /// The name of its role (`oldstable`).
    pub suite: Option<String>,
    /// Point release (`12.15`); backports have none.
    pub version: Option<String>,
    /// When the archive made it, as written (RFC 5322, in UTC).
    pub date: String,
    /// After which it should no longer be believed, as written.
    pub valid_until: Option<String>,
    /// Files by their path below `dists/SUITE/`.
    pub files: BTreeMap<String, ReleaseFile>,
}

/// Why a release file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Not a control file.
    #[error("{file}: {cause}")]
    Control {
        /// The file.
        file: String,
        /// What is wrong.
        cause: ControlError,
    },
    /// Something that every release file has is missing.
    #[error("{file}: {what} is missing or malformed")]
    Malformed {
        /// The file.
        file: String,
        /// A field's name or a row of the file list.
        what: String,
    },
    /// The mirror serves another suite's file under this suite's name.
    #[error(
        "{file} is of the suite '{found}', not '{wanted}': the mirror is broken or tampered with; use another one with \
         `--mirror URL`"
    )]
    WrongSuite {
        /// The file.
        file: String,
        /// The suite that was asked for.
        wanted: String,
        /// The codename in the file.
        found: String,
    },
}

impl Release {
    /// Reads the signed text. `label` names the file in messages.
    ///
    /// # Errors
    /// [`ReleaseError::Control`] and [`ReleaseError::Malformed`].
    pub fn parse(text: &str, label: &str) -> Result<Self, ReleaseError> {
        let malformed = |what: &str| ReleaseError::Malformed {
            file: label.into(),
            what: what.into(),
        };
        let paragraphs = control::parse(text).map_err(|cause| ReleaseError::Control {
            file: label.into(),
            cause,
        })?;
        let p = paragraphs.first().ok_or_else(|| malformed("everything"))?;
        let field = |name: &str| p.get(name).map(str::to_owned);
        let mut files = BTreeMap::new();
        for row in p
            .get("SHA256")
            .ok_or_else(|| malformed("SHA256"))?
            .lines()
            .filter(|row| !row.is_empty())
        {
            let [hash, size, path] = row.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(malformed(row));
            };
            let size = size.parse().map_err(|_| malformed(row))?;
            if !is_sha256(hash) || !is_relative_path(path) {
                return Err(malformed(row));
            }
            files.insert(
                path.to_owned(),
                ReleaseFile {
                    sha256: hash.into(),
                    size,
                },
            );
        }
        Ok(Self {
            codename: field("Codename").ok_or_else(|| malformed("Codename"))?,
            suite: field("Suite"),
            version: field("Version"),
            date: field("Date").ok_or_else(|| malformed("Date"))?,
            valid_until: field("Valid-Until"),
            files,
        })
    }

    /// Whether the archive itself says that this file is too old to be believed at `now`.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.valid_until
            .as_deref()
            .and_then(parse_date)
            .is_some_and(|end| end < now)
    }
}

/// Reads a date as it stands in release files, `Sat, 11 Jul 2026 10:16:37 UTC`.
#[must_use]
pub fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(&text.replace("UTC", "GMT")).ok()
}

/// The date in the form in which snapshot archives name their copies, `20260711T101637Z`.
#[must_use]
pub fn snapshot_stamp(date: &str) -> Option<String> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    parse_date(date)?;
    let [_, day, month, year, time, _] = date.split_whitespace().collect::<Vec<_>>()[..] else {
        return None;
    };
    let month = MONTHS.find(month)? / 3 + 1;
    Some(format!(
        "{year}{month:02}{day:0>2}T{}Z",
        time.replace(':', "")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text() -> String {
        format!(
            "Suite: oldstable\nVersion: 12.15\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
             MD5Sum:\n 00 1 a\nSHA256:\n {} 8790396 main/binary-amd64/Packages.xz\n {}        5 main/x\n",
            "a".repeat(64),
            "b".repeat(64)
        )
    }

    #[test]
    fn fields_and_the_file_list_are_read() {
        let release = Release::parse(&text(), "t").unwrap();
        assert_eq!(
            (release.codename.as_str(), release.version.as_deref()),
            ("bookworm", Some("12.15"))
        );
        let file = &release.files["main/binary-amd64/Packages.xz"];
        assert_eq!(
            (file.size, file.sha256.as_str()),
            (8_790_396, "a".repeat(64).as_str())
        );
        assert_eq!(release.files.len(), 2);
    }

    #[test]
    fn a_file_list_with_bad_rows_is_refused() {
        for (from, to) in [
            ("8790396", "many"),
            ("main/x", "../x"),
            ("main/x", "a b"),
            ("aaaa", "AAAA"),
            ("SHA256:", "SHA1:"),
            ("Codename", "C"),
        ] {
            assert!(
                Release::parse(&text().replacen(from, to, 1), "t").is_err(),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn expiry_is_the_archives_own_date() {
        let mut release = Release::parse(&text(), "t").unwrap();
        assert!(!release.has_expired(SystemTime::now()));
        release.valid_until = Some("Sat, 28 Nov 2026 02:10:46 UTC".into());
        let end = parse_date("Sat, 28 Nov 2026 02:10:46 UTC").unwrap();
        assert!(!release.has_expired(end));
        assert!(release.has_expired(end + Duration::from_secs(1)));
    }

    #[test]
    fn a_date_gives_the_name_of_a_snapshot() {
        assert_eq!(
            snapshot_stamp("Sat, 11 Jul 2026 10:16:37 UTC").as_deref(),
            Some("20260711T101637Z")
        );
        assert_eq!(snapshot_stamp("yesterday"), None);
    }
}
