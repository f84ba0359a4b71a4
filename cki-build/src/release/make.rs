// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing a release.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::Release;
use super::components::components;
use super::error::ReleaseError;
use crate::context::Context;
use crate::error::Error;
use cki_nix::nar::nar_sha256;
use cki_process::files::write_atomically;
use cki_release::manifest::{MANIFEST, Manifest};
use cki_release::{Output, Subject, cyclonedx, provenance, signature, spdx};

/// The outputs that are released unless others are named.
pub const OUTPUTS: [&str; 11] = [
    "cki-build",
    "cki-guest",
    "cki-host",
    "cki-host-disk",
    "cki-init",
    "cki-kernel",
    "cki-kmod",
    "cki-ksm",
    "cki-launcher",
    "cki-qemu",
    "cki-runtime",
];

/// The binary cache, below the directory of a release.
const CACHE: &str = "cache";

/// Version of the product.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes the release that `args` describe, the list of its files last, and gives that list.
///
/// # Errors
/// [`Error`]. What has been written before stays, without a list.
pub fn make(context: &Context, args: &Release, key: &Path) -> Result<Manifest, Error> {
    let (commit, time) = commit(context)?;
    let directory = empty(&args.directory)?;
    if let Some(key) = &args.cache_key {
        check_path(&directory)?;
        check_path(key)?;
    }
    let names: Vec<&str> = match args.outputs.as_slice() {
        [] => OUTPUTS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let outputs = outputs(context, &names)?;
    let subject = Subject {
        version: VERSION.into(),
        commit,
        time,
        outputs,
    };
    for (name, text) in documents(context, &subject, &args.builder)? {
        write(&directory.join(name), text.as_bytes())?;
    }
    if let Some(key) = &args.cache_key {
        cache(context, &directory, key, &subject)?;
    }
    let manifest = Manifest::of(&subject, &args.builder, &directory).map_err(ReleaseError::from)?;
    write(&directory.join(MANIFEST), manifest.to_text().as_bytes())?;
    signature::sign(key, &directory).map_err(ReleaseError::from)?;
    Ok(manifest)
}

/// What a release says of itself, by the name of each file.
pub(super) fn documents(
    context: &Context,
    subject: &Subject,
    builder: &str,
) -> Result<[(&'static str, String); 3], Error> {
    let components = components(context)?;
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
pub(super) fn outputs(context: &Context, names: &[&str]) -> Result<Vec<Output>, Error> {
    let targets = context.outputs(names)?;
    let step = context.progress.step("hashing the outputs");
    let mut outputs = Vec::new();
    for (name, target) in targets {
        step.detail(&name);
        let sha256 = nar_sha256(&target.out).map_err(|source| Error::Io {
            path: target.out.clone(),
            source,
        })?;
        let path = target.out.to_string_lossy().into_owned();
        outputs.push(Output { name, path, sha256 });
    }
    Ok(outputs)
}

/// The commit that is checked out, with nothing changed, and its time.
fn commit(context: &Context) -> Result<(String, String), Error> {
    let refuse = |why| Error::from(ReleaseError::NoCommit(why));
    let state = context.checkout.state()?;
    let state = state.ok_or_else(|| refuse("the checkout is not managed by git"))?;
    if state.dirty {
        return Err(refuse("the checkout has changes"));
    }
    let commit = state.head.ok_or_else(|| refuse("there is no commit"))?;
    let time = context.checkout.commit_time()?;
    Ok((commit, time.ok_or_else(|| refuse("there is no commit"))?))
}

/// The absolute path of `directory`, which is made unless it is there and empty.
fn empty(directory: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Io {
        path: directory.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    if fs::read_dir(directory).map_err(failed)?.next().is_some() {
        return Err(ReleaseError::NotEmpty(directory.to_owned()).into());
    }
    directory.canonicalize().map_err(failed)
}

/// Refuses a path that a URL would need escapes for.
fn check_path(path: &Path) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(good) => Ok(()),
        _ => Err(ReleaseError::OddPath(path.to_owned()).into()),
    }
}

/// Copies the outputs into a binary cache that `key` signs.
fn cache(context: &Context, directory: &Path, key: &Path, subject: &Subject) -> Result<(), Error> {
    let to = directory.join(CACHE);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let key = key.canonicalize().map_err(failed(key))?;
    check_path(&key)?;
    fs::create_dir(&to).map_err(failed(&to))?;
    let paths: Vec<PathBuf> = subject
        .outputs
        .iter()
        .map(|o| o.path.clone().into())
        .collect();
    let step = context
        .progress
        .step("copying the outputs into the binary cache");
    let command = context.nix.copy_to_cache(&to, &key, &paths);
    context
        .nix
        .capture(&command, &|event| {
            if let cki_nix::log::Event::Line { line, .. } = event {
                step.detail(line);
            }
        })
        .map_err(|error| context.explain(error))?;
    Ok(())
}

fn write(path: &Path, contents: &[u8]) -> Result<(), Error> {
    write_atomically(path, contents).map_err(|source| Error::Io {
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
        assert!(
            matches!(error, Error::Release(ReleaseError::NotEmpty(_))),
            "{error}"
        );
    }

    #[test]
    fn a_cache_gets_no_path_that_nix_would_read_as_something_else() {
        assert!(check_path(Path::new("/srv/cki-0.1.0/cache_a")).is_ok());
        for path in ["/srv/a b", "/srv/a?b", "/srv/a&b=c", "/srv/%41", "/srv/ü"] {
            assert!(check_path(Path::new(path)).is_err(), "{path}");
        }
    }
}
