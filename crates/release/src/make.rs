// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing a release.

use std::fs;
use std::path::{Path, PathBuf};

use cki_nix::checkout::Checkout;
use cki_nix::nar::nar_sha256;
use cki_process::files::write_atomically;

use crate::args::Release;
use crate::error::ReleaseError;
use crate::ground::Ground;
use crate::manifest::{MANIFEST, Manifest};
use crate::pinned::components;
use crate::subject::{Output, Subject};
use crate::{cyclonedx, provenance, signature, spdx};

/// The outputs that are released unless others are named.
pub const OUTPUTS: [&str; 16] = [
    "cki-build",
    "cki-docs",
    "cki-guest",
    "cki-host",
    "cki-host-disk",
    "cki-init",
    "cki-kernel",
    "cki-kmod",
    "cki-ksm",
    "cki-launcher",
    "cki-passt",
    "cki-qemu",
    "cki-runtime",
    "cki-system",
    "cki-system-disk",
    "cki-vm",
];

/// The binary cache, below the directory of a release.
const CACHE: &str = "cache";

/// Version of the product.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes the release that `args` describe, the list of its files last, and gives that list.
///
/// # Errors
/// Those of `ground`, or [`ReleaseError`]. What has been written before stays, without a list.
pub fn make<G: Ground>(ground: &G, args: &Release, key: &Path) -> Result<Manifest, G::Error> {
    let (commit, time) = commit(ground.checkout())?;
    let directory = empty(&args.directory)?;
    if let Some(key) = &args.cache_key {
        check_path(&directory)?;
        check_path(key)?;
    }
    let names: Vec<&str> = match args.outputs.as_slice() {
        [] => OUTPUTS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let outputs = outputs(ground, &names)?;
    let subject = Subject {
        version: VERSION.into(),
        commit,
        time,
        outputs,
    };
    for (name, text) in documents(ground, &subject, &args.builder)? {
        write(&directory.join(name), text.as_bytes())?;
    }
    if let Some(key) = &args.cache_key {
        cache(ground, &directory, key, &subject)?;
    }
    let manifest = Manifest::of(&subject, &args.builder, &directory).map_err(ReleaseError::from)?;
    write(&directory.join(MANIFEST), manifest.to_text().as_bytes())?;
    signature::sign(key, &directory).map_err(ReleaseError::from)?;
    Ok(manifest)
}

/// What a release says of itself, by the name of each file.
pub(crate) fn documents<G: Ground>(
    ground: &G,
    subject: &Subject,
    builder: &str,
) -> Result<[(&'static str, String); 3], G::Error> {
    let components = components(ground)?;
    Ok([
        ("sbom.cdx.json", cyclonedx::bom(subject, &components)),
        ("sbom.spdx.json", spdx::document(subject, &components)),
        (
            "provenance.json",
            provenance::statement(subject, &components, builder),
        ),
    ])
}

/// The outputs of these names, built, with the hash of each.
pub(crate) fn outputs<G: Ground>(ground: &G, names: &[&str]) -> Result<Vec<Output>, G::Error> {
    let targets = ground.outputs(names)?;
    let step = ground.progress().step("hashing the outputs");
    let mut outputs = Vec::new();
    for (name, target) in targets {
        step.detail(&name);
        let sha256 = nar_sha256(&target.out).map_err(|source| ReleaseError::Io {
            path: target.out.clone(),
            source,
        })?;
        let path = target.out.to_string_lossy().into_owned();
        outputs.push(Output { name, path, sha256 });
    }
    Ok(outputs)
}

/// The commit that is checked out, with nothing changed, and its time.
fn commit(checkout: &Checkout) -> Result<(String, String), ReleaseError> {
    let refuse = ReleaseError::NoCommit;
    let state = checkout.state()?;
    let state = state.ok_or_else(|| refuse("the checkout is not managed by git"))?;
    if state.dirty {
        return Err(refuse("the checkout has changes"));
    }
    let commit = state.head.ok_or_else(|| refuse("there is no commit"))?;
    let time = checkout.commit_time()?;
    Ok((commit, time.ok_or_else(|| refuse("there is no commit"))?))
}

/// The absolute path of `directory`, which is made unless it is there and empty.
fn empty(directory: &Path) -> Result<PathBuf, ReleaseError> {
    let failed = |source| ReleaseError::Io {
        path: directory.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    if fs::read_dir(directory).map_err(failed)?.next().is_some() {
        return Err(ReleaseError::NotEmpty(directory.to_owned()));
    }
    directory.canonicalize().map_err(failed)
}

/// Refuses a path that a URL would need escapes for.
fn check_path(path: &Path) -> Result<(), ReleaseError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(good) => Ok(()),
        _ => Err(ReleaseError::OddPath(path.to_owned())),
    }
}

/// Copies the outputs into a binary cache that `key` signs.
fn cache<G: Ground>(
    ground: &G,
    directory: &Path,
    key: &Path,
    subject: &Subject,
) -> Result<(), G::Error> {
    let to = directory.join(CACHE);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReleaseError::Io { path, source }
    };
    let key = key.canonicalize().map_err(failed(key))?;
    check_path(&key)?;
    fs::create_dir(&to).map_err(failed(&to))?;
    let paths: Vec<PathBuf> = subject
        .outputs
        .iter()
        .map(|o| o.path.clone().into())
        .collect();
    let step = ground
        .progress()
        .step("copying the outputs into the binary cache");
    let command = ground.nix().copy_to_cache(&to, &key, &paths);
    ground
        .nix()
        .capture(&command, &|event| {
            if let cki_nix::log::Event::Line { line, .. } = event {
                step.detail(line);
            }
        })
        .map_err(|error| ground.explain(error))?;
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<(), ReleaseError> {
    write_atomically(path, contents).map_err(|source| ReleaseError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_or_empty_directory_is_written_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let new = dir.path().join("a/b");
        assert!(empty(&new).is_ok() && empty(&new).is_ok());
        fs::write(new.join("file"), "").expect("written");
        let error = empty(&new).expect_err("not empty");
        assert!(matches!(error, ReleaseError::NotEmpty(_)), "{error}");
    }

    #[test]
    fn a_cache_gets_no_path_that_nix_would_read_as_something_else() {
        assert!(check_path(Path::new("/srv/cki-0.1.0/cache_a")).is_ok());
        for path in ["/srv/a b", "/srv/a?b", "/srv/a&b=c", "/srv/%41", "/srv/ü"] {
            assert!(check_path(Path::new(path)).is_err(), "{path}");
        }
    }
}
