// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signatures of releases, checked by the real gpgv.

mod support;

use std::fs;

use cki_debian::release::Release;
use cki_inputs::signature::{SignatureError, Verifier};
use support::fixture;

fn open(contents: &[u8], keyring: &str) -> Result<Release, SignatureError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), contents).unwrap();
    Verifier::new(fixture(keyring)).open(file.path(), "stable", "stable InRelease")
}

#[test]
fn a_good_signature_is_accepted_and_only_signed_text_is_read() {
    let signed = fs::read(fixture("InRelease")).unwrap();
    let release = open(&signed, "keyring.gpg").unwrap();
    assert_eq!(release.codename, "stable");
    let more = [
        b"Codename: stable\nSuite: evil\n\n".as_slice(),
        &signed,
        b"\nSuite: evil\n",
    ]
    .concat();
    // gpgv may refuse text around the signature or leave it out; it must not become part of the release.
    match open(&more, "keyring.gpg") {
        Ok(release) => assert_eq!(release.suite, None),
        Err(error) => assert!(
            matches!(error, SignatureError::BadSignature { .. }),
            "{error:?}"
        ),
    }
}

#[test]
fn a_changed_unsigned_or_foreign_release_is_refused() {
    let signed = fs::read_to_string(fixture("InRelease")).unwrap();
    let changed = signed.replacen("Codename: stable", "Codename: staple", 1);
    let body = signed
        .split("\n\n")
        .nth(1)
        .unwrap()
        .split("-----BEGIN")
        .next()
        .unwrap();
    for (contents, keyring) in [
        (changed.as_str(), "keyring.gpg"),
        (body, "keyring.gpg"),
        ("", "keyring.gpg"),
        (signed.as_str(), "other.gpg"),
    ] {
        let error = open(contents.as_bytes(), keyring).unwrap_err();
        assert!(
            matches!(error, SignatureError::BadSignature { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("--mirror URL"), "{error}");
    }
}
