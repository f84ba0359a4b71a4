// SPDX-License-Identifier: MIT OR Apache-2.0

//! The licence that a crate states in its manifest.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::cargo::{Cargo, CargoError, Crate};
use crate::inputs::Inputs;
use cki_nix::path::Mode;

/// More than this is not read of a manifest.
const LIMIT: u64 = 1 << 20;

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    license: Option<String>,
}

/// What the manifest in a crate's file says of its licence, as an SPDX expression; none if it only names a file.
///
/// # Errors
/// [`CargoError::Read`] when it is no file of a crate.
pub fn licence_in(file: &Path, of: &Crate) -> Result<Option<String>, CargoError> {
    let failed = |cause| CargoError::Read {
        path: file.into(),
        cause,
    };
    let wanted = format!("{}-{}/Cargo.toml", of.name, of.version);
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(file).map_err(failed)?));
    for entry in archive.entries().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path_bytes().as_ref() != wanted.as_bytes() {
            continue;
        }
        let mut text = String::new();
        entry
            .take(LIMIT)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let manifest: Manifest = toml::from_str(&text)
            .map_err(|error| failed(std::io::Error::other(format!("{wanted}: {error}"))))?;
        // Before there were expressions, a slash meant a choice.
        return Ok(manifest
            .package
            .license
            .map(|l| l.replace(" / ", "/").replace('/', " OR ")));
    }
    Err(failed(std::io::Error::other(format!(
        "there is no {wanted} in it"
    ))))
}

/// The same for a crate wherever its file is: in the store, among the downloads or in cargo's cache.
///
/// # Errors
/// [`CargoError::Absent`]; [`CargoError::Read`].
pub fn licence(inputs: &Inputs, cargo: &Cargo, of: &Crate) -> Result<Option<String>, CargoError> {
    let in_store = inputs
        .nix
        .fixed_output(&of.store_name(), Mode::Flat, &of.sha256);
    let places: [PathBuf; 2] = [in_store, inputs.downloads.by_hash(&of.sha256)];
    match places.iter().find(|path| path.is_file()) {
        Some(file) => licence_in(file, of),
        None => licence_in(&cargo.verified(of)?, of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(manifest: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let gz = flate2::write::GzEncoder::new(&file, flate2::Compression::fast());
        let mut archive = tar::Builder::new(gz);
        for (name, text) in [("a-1.0.0/src/lib.rs", ""), ("a-1.0.0/Cargo.toml", manifest)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn the_licence_is_what_the_manifest_states() {
        let of = |version: &str| Crate {
            name: "a".into(),
            version: version.into(),
            sha256: String::new(),
        };
        let stated = |line: &str| {
            let file = packed(&format!("[package]\nname = \"a\"\n{line}\n"));
            licence_in(file.path(), &of("1.0.0")).unwrap()
        };
        assert_eq!(stated("license = \"MIT\""), Some("MIT".into()));
        let old = stated("license = \"MIT/Apache-2.0\"");
        assert_eq!(old, Some("MIT OR Apache-2.0".into()));
        assert_eq!(stated("license-file = \"LICENSE\""), None);
        let file = packed("[package]\n");
        let other = licence_in(file.path(), &of("2.0.0")).unwrap_err();
        assert!(
            other.to_string().contains("no a-2.0.0/Cargo.toml"),
            "{other}"
        );
    }
}
