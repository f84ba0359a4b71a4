// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signatures of release files.
//!
//! They are checked by `gpgv`, which is part of every Debian system because apt uses it in the same way. Only what
//! gpgv writes out as signed text is read, so nothing around the signature can pretend to be part of it.

use std::path::{Path, PathBuf};

use cki_debian::release::{Release, ReleaseError};
use cki_process::exec::{Command, ExecError};

/// The keyring of the package debian-archive-keyring.
pub const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Why a release file cannot be trusted or read.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
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
    /// The signed text is not what was asked for.
    #[error(transparent)]
    Release(#[from] ReleaseError),
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
    /// See [`SignatureError`].
    pub fn open(&self, file: &Path, suite: &str, label: &str) -> Result<Release, SignatureError> {
        if !self.keyring.exists() {
            return Err(SignatureError::NoKeyring(self.keyring.clone()));
        }
        let output = self.command(file).output().map_err(|error| {
            if error.is_not_found() {
                SignatureError::NoGpgv
            } else {
                SignatureError::Run(error)
            }
        })?;
        let status = String::from_utf8_lossy(&output.stderr);
        let bad = |detail: String| SignatureError::BadSignature {
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
            }
            .into());
        }
        Ok(release)
    }
}

/// Decides from gpgv's status lines (doc/DETAILS of GnuPG). The archive signs with several keys, of which an older
/// keyring may lack some: one good signature is enough, but no signature may be bad. GOODSIG is not given for expired
/// or revoked keys, unlike VALIDSIG.
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

#[cfg(test)]
mod tests {
    use super::*;

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
