// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signed release files: `dists/SUITE/InRelease` says which indexes a suite has, with their hashes.
//!
//! Signatures are checked by `gpgv`, which is part of every Debian system because apt uses it in the same way. Only what
//! gpgv writes out as signed text is read, so nothing around the signature can pretend to be part of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::control::{self, ControlError};
use super::index::{is_relative_path, is_sha256};
use cki_process::exec::{Command, ExecError};

/// The keyring of the package debian-archive-keyring.
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    /// `gpgv` cannot be started because it does not exist.
    #[error(
        "gpgv, which checks the archive's signature, is not installed; install it with `apt-get install gpgv`"
    )]
    NoGpgv,
    /// The keyring does not exist.
    #[error(
        "the archive's keys {0} are missing; install them with `apt-get install debian-archive-keyring`"
    )]
    NoKeyring(PathBuf),
    /// gpgv could not be run.
    #[error(transparent)]
    Run(ExecError),
    /// There is no good signature, or a bad one.
    #[error(
        "{file} has no good signature by the archive's keys in {keyring} ({detail}); \
         the mirror may be broken or tampered with: use another one with `--mirror URL`"
    )]
    BadSignature {
        /// The file.
        file: String,
        /// The keyring.
        keyring: PathBuf,
        /// What gpgv said.
        detail: String,
    },
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
        "{file} is of the suite '{found}', not '{wanted}': the mirror is broken or tampered with; use another one with `--mirror URL`"
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

/// Checks signatures with a keyring.
#[derive(Debug, Clone)]
pub struct Verifier {
    keyring: PathBuf,
    gpgv: PathBuf,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new(DEBIAN_KEYRING)
    }
}

impl Verifier {
    /// Trusts the keys in `keyring` and no others.
    pub fn new(keyring: impl Into<PathBuf>) -> Self {
        Self {
            keyring: keyring.into(),
            gpgv: "gpgv".into(),
        }
    }

    /// Uses another program than the `gpgv` in `PATH`.
    #[must_use]
    pub fn with_gpgv(mut self, program: impl Into<PathBuf>) -> Self {
        self.gpgv = program.into();
        self
    }

    /// The command that checks `file` and writes the signed text to its standard output.
    #[must_use]
    pub fn command(&self, file: &Path) -> Command {
        Command::new(&self.gpgv)
            .args(["--status-fd", "2", "--keyring"])
            .arg(&self.keyring)
            .args(["--output", "-"])
            .arg(file)
    }

    /// Checks the signature of a downloaded InRelease file and reads it. `label` names the file in messages.
    ///
    /// # Errors
    /// See [`ReleaseError`].
    pub fn open(&self, file: &Path, suite: &str, label: &str) -> Result<Release, ReleaseError> {
        if !self.keyring.exists() {
            return Err(ReleaseError::NoKeyring(self.keyring.clone()));
        }
        let output = self.command(file).output().map_err(|error| {
            if error.is_not_found() {
                ReleaseError::NoGpgv
            } else {
                ReleaseError::Run(error)
            }
        })?;
        let status = String::from_utf8_lossy(&output.stderr);
        let bad = |detail: String| ReleaseError::BadSignature {
            file: label.into(),
            keyring: self.keyring.clone(),
            detail,
        };
        judge(&status).map_err(bad)?;
        let text = String::from_utf8(output.stdout)
            .map_err(|_| bad("the signed text is not UTF-8".into()))?;
        let release = Release::parse(&text, label)?;
        if release.codename != suite && release.suite.as_deref() != Some(suite) {
            let (wanted, found) = (suite.to_owned(), release.codename);
            return Err(ReleaseError::WrongSuite {
                file: label.into(),
                wanted,
                found,
            });
        }
        Ok(release)
    }
}

/// Decides from gpgv's status lines (doc/DETAILS of GnuPG). The archive signs with several keys, of which an older keyring
/// may lack some: one good signature is enough, but no signature may be bad. GOODSIG is not given for expired or revoked keys,
/// unlike VALIDSIG.
fn judge(status: &str) -> Result<(), String> {
    let words: Vec<&str> = status
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if words.contains(&"BADSIG") {
        return Err("the signature does not fit the contents".into());
    }
    if words.contains(&"GOODSIG") && words.contains(&"VALIDSIG") {
        return Ok(());
    }
    Err(
        match words
            .iter()
            .find(|w| ["EXPKEYSIG", "EXPSIG", "REVKEYSIG", "NO_PUBKEY", "NODATA"].contains(w))
        {
            Some(&"NO_PUBKEY") => "signed by an unknown key".into(),
            Some(&"NODATA") => "not signed at all".into(),
            Some(&"REVKEYSIG") => "signed by a revoked key".into(),
            Some(_) => "signed by an expired key".into(),
            None => status
                .lines()
                .last()
                .unwrap_or("gpgv said nothing")
                .to_owned(),
        },
    )
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
            "Suite: oldstable\nVersion: 12.15\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nMD5Sum:\n 00 1 a\nSHA256:\n {} 8790396 \
             main/binary-amd64/Packages.xz\n {}        5 main/x\n",
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

    #[test]
    fn one_good_signature_is_enough_but_none_may_be_bad() {
        let good = "[GNUPG:] GOODSIG 1 x\n[GNUPG:] VALIDSIG 1\n";
        assert!(judge(good).is_ok());
        assert!(judge(&format!("[GNUPG:] ERRSIG 2\n[GNUPG:] NO_PUBKEY 2\n{good}")).is_ok());
        assert!(judge(&format!("{good}[GNUPG:] BADSIG 3 x\n")).is_err());
        assert_eq!(
            judge("[GNUPG:] EXPKEYSIG 1 x\n[GNUPG:] VALIDSIG 1\n").unwrap_err(),
            "signed by an expired key"
        );
        assert_eq!(
            judge("[GNUPG:] NO_PUBKEY 2\n").unwrap_err(),
            "signed by an unknown key"
        );
        assert_eq!(
            judge("[GNUPG:] NODATA 1\n").unwrap_err(),
            "not signed at all"
        );
        // Text of the file cannot pass for a status line: those start with the prefix.
        assert!(judge("GOODSIG VALIDSIG\n").is_err());
    }

    #[test]
    fn gpgv_is_asked_for_status_lines_and_the_signed_text() {
        let command = Verifier::new("/k.gpg").command(Path::new("/f"));
        assert_eq!(
            command.argv(),
            [
                "gpgv",
                "--status-fd",
                "2",
                "--keyring",
                "/k.gpg",
                "--output",
                "-",
                "/f"
            ]
        );
    }

    #[test]
    fn missing_tools_are_named_with_the_command_that_installs_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let no_keyring = Verifier::new("/nonexistent/k.gpg")
            .open(file.path(), "s", "f")
            .unwrap_err();
        assert!(
            no_keyring
                .to_string()
                .contains("apt-get install debian-archive-keyring")
        );
        let no_gpgv = Verifier::new(file.path())
            .with_gpgv("/nonexistent/gpgv")
            .open(file.path(), "s", "f")
            .unwrap_err();
        assert!(no_gpgv.to_string().contains("apt-get install gpgv"));
    }
}
