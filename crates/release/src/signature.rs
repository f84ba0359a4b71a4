// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signatures by SSH keys, made and checked by `ssh-keygen -Y` (OpenSSH 8.2 and later). The key stays the user's: in a
//! file, or in an agent, then the file is that of its public half.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cki_process::exec::{Command, ExecError};

use crate::manifest::{MANIFEST, SIGNATURE};

/// What the signature is for; one that the same key made for something else is none of a release.
const NAMESPACE: &str = "cki-release";

/// Why a release is not signed, or its signature not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// ssh-keygen is not there.
    #[error("ssh-keygen is not installed; on Debian: apt-get install openssh-client")]
    NoSshKeygen,
    /// It could not sign.
    #[error("{0}")]
    Sign(ExecError),
    /// There is no signature.
    #[error("{0} is not there: the release is not signed")]
    Absent(PathBuf),
    /// The signature is none of a key that is trusted, or none of this list.
    #[error("the signature of {MANIFEST} is not good: {0}")]
    Bad(String),
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
}

/// The command that signs the list of `directory`.
#[must_use]
pub fn sign_command(key: &Path, directory: &Path) -> Command {
    Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", NAMESPACE, "-f"])
        .arg(key)
        .arg(directory.join(MANIFEST))
}

/// Signs the list of `directory` with `key`.
///
/// # Errors
/// [`SignatureError`].
pub fn sign(key: &Path, directory: &Path) -> Result<(), SignatureError> {
    // ssh-keygen asks before it writes over an older one.
    let old = directory.join(SIGNATURE);
    match fs::remove_file(&old) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(SignatureError::File { path: old, cause });
        }
        _ => {}
    }
    sign_command(key, directory)
        .read()
        .map(drop)
        .map_err(|error| {
            if error.is_not_found() {
                SignatureError::NoSshKeygen
            } else {
                SignatureError::Sign(error)
            }
        })
}

/// Checks the signature of the list of `directory`, and gives the name of who signed. `signers` is a file of names and
/// public keys, as ssh-keygen(1) describes it under ALLOWED SIGNERS.
///
/// # Errors
/// [`SignatureError`].
pub fn verify(signers: &Path, directory: &Path) -> Result<String, SignatureError> {
    let signature = directory.join(SIGNATURE);
    if !signature.is_file() {
        return Err(SignatureError::Absent(signature));
    }
    let file = |path: &Path| {
        let path = path.to_owned();
        move |cause| SignatureError::File { path, cause }
    };
    fs::metadata(signers).map_err(file(signers))?;
    // Which of the names the key belongs to, ssh-keygen finds first.
    let found = Command::new("ssh-keygen")
        .args(["-Y", "find-principals", "-f"])
        .arg(signers)
        .arg("-s")
        .arg(&signature)
        .output()
        .map_err(|error| {
            if error.is_not_found() {
                SignatureError::NoSshKeygen
            } else {
                SignatureError::Sign(error)
            }
        })?;
    let text = String::from_utf8_lossy(&found.stdout);
    let name = match text.lines().next().map(str::trim) {
        Some(name) if found.status.success() && !name.is_empty() => name.to_owned(),
        _ => {
            return Err(SignatureError::Bad(format!(
                "it is by none of the keys in {}",
                signers.display()
            )));
        }
    };
    let list = directory.join(MANIFEST);
    fs::metadata(&list).map_err(file(&list))?;
    let output = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", NAMESPACE, "-I", &name, "-f"])
        .arg(signers)
        .arg("-s")
        .arg(&signature)
        .input(&list)
        .output()
        .map_err(SignatureError::Sign)?;
    if output.status.success() {
        return Ok(name);
    }
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    Err(SignatureError::Bad(
        told.lines()
            .next()
            .unwrap_or("ssh-keygen said nothing")
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of this test's own, and the file that trusts it as `me`.
    fn key(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let key = dir.join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(&key)
            .read();
        made.expect("ssh-keygen makes a key");
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        let signers = dir.join(format!("{name}.signers"));
        fs::write(&signers, format!("me@example.org {public}")).unwrap();
        (key, signers)
    }

    #[test]
    fn a_list_is_believed_with_the_signature_of_a_trusted_key_for_releases_alone() {
        let dir = tempfile::tempdir().unwrap();
        let release = dir.path().join("release");
        fs::create_dir(&release).unwrap();
        let list = release.join(MANIFEST);
        fs::write(&list, "the list").unwrap();
        let (mine, signers) = key(dir.path(), "mine");
        let (other, others) = key(dir.path(), "other");
        assert!(matches!(
            verify(&signers, &release),
            Err(SignatureError::Absent(_))
        ));
        sign(&mine, &release).unwrap();
        let first = fs::read(release.join(SIGNATURE)).unwrap();
        assert_eq!(verify(&signers, &release).unwrap(), "me@example.org");
        assert!(matches!(
            verify(&others, &release),
            Err(SignatureError::Bad(_))
        ));
        // Again: the same bits, over the older one.
        sign(&mine, &release).unwrap();
        assert_eq!(fs::read(release.join(SIGNATURE)).unwrap(), first);
        fs::write(&list, "the lisT").unwrap();
        assert!(matches!(
            verify(&signers, &release),
            Err(SignatureError::Bad(_))
        ));
        // A signature of the same key for another purpose.
        let _ = fs::remove_file(release.join(SIGNATURE));
        let elsewhere = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-q", "-n", "file", "-f"])
            .arg(&mine)
            .arg(&list);
        elsewhere.read().unwrap();
        assert!(matches!(
            verify(&signers, &release),
            Err(SignatureError::Bad(_))
        ));
        sign(&other, &release).unwrap();
        assert!(matches!(
            verify(&signers, &release),
            Err(SignatureError::Bad(_))
        ));
    }
}
