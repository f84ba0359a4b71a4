// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mirror of our own: it has everything that is pinned, and serves it when the archive has moved on.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use cki_inputs::Inputs;
use cki_inputs::cargo::Cargo;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, Mode};
use cki_inputs::mirrors::Mirrors;
use cki_inputs::own_mirror::{MirrorReport, fill};
use cki_inputs::provide::provide_lock;
use cki_inputs::provide_crates::provide_crates;
use support::archive::{Archive, REQUEST, pool_path, request};
use support::nix::{isolated, query};
use support::{Behaviour, sha256};

/// A workspace that locks one crate, `a`, and a cargo whose cache has it.
fn workspace(dir: &Path) -> (Cargo, [PathBuf; 1]) {
    let home = dir.join("cargo-home");
    let cache = home.join("registry/cache/some-registry");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("a-1.0.0.crate"), "contents").unwrap();
    let lock = format!(
        "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \
         \"registry+https://registry.example.org\"\nchecksum = \"{}\"\n",
        sha256(b"contents")
    );
    fs::write(dir.join("Cargo.lock"), lock).unwrap();
    let cargo = Cargo {
        program: "/nonexistent/cargo".into(),
        home,
    };
    (cargo, [dir.join("Cargo.toml")])
}

struct Case {
    archive: Archive,
    lock: LockFile,
    inputs: Inputs,
    cargo: Cargo,
    manifests: [PathBuf; 1],
    mirror: PathBuf,
}

impl Case {
    fn new() -> Self {
        let archive = Archive::first();
        let inputs = archive.inputs(isolated(archive.dir.path()));
        let (lock, _) = locking::resolve(&inputs, &request(REQUEST), None, Mode::Keep).unwrap();
        let (cargo, manifests) = workspace(archive.dir.path());
        let mirror = archive.dir.path().join("mirror");
        Self {
            archive,
            lock,
            inputs,
            cargo,
            manifests,
            mirror,
        }
    }

    fn fill(&self) -> MirrorReport {
        let filled = fill(
            &self.inputs,
            &self.lock,
            &self.cargo,
            &self.manifests,
            &self.mirror,
        );
        filled.unwrap()
    }

    /// Inputs with nothing downloaded, of an archive that has nothing, with the mirror as the second one.
    fn elsewhere(&self, other: &Archive) -> Inputs {
        let mut inputs = other.inputs(isolated(other.dir.path()));
        let url = format!("file://{}", self.mirror.display());
        inputs.mirrors = Mirrors::named(&other.server.url)
            .unwrap()
            .with_second(&url)
            .unwrap();
        inputs
    }
}

/// 9 packages, 2 sources, 3 indexes, 2 release files, a crate.
const FILES: usize = 9 + 2 + 3 + 2 + 1;

#[test]
fn what_is_pinned_can_be_had_from_a_mirror_of_our_own_when_the_archive_has_nothing() {
    let case = Case::new();
    let report = case.fill();
    assert_eq!(
        (report.files, report.present, report.missing.len()),
        (FILES, 0, 0)
    );
    let list = fs::read_to_string(case.mirror.join("SHA256SUMS")).unwrap();
    assert_eq!(list.lines().count(), FILES);
    for line in list.lines() {
        let (hash, path) = line.split_once("  ").unwrap();
        assert_eq!(
            sha256(&fs::read(case.mirror.join(path)).unwrap()),
            hash,
            "{path}"
        );
    }
    let other = Archive::empty();
    let inputs = case.elsewhere(&other);
    let provided = provide_lock(&inputs, &case.lock).unwrap();
    assert_eq!((provided.files, provided.added), (12, 12));
    // Neither a cargo nor a registry is needed for the crates.
    let cargo = Cargo {
        program: "/nonexistent/cargo".into(),
        home: "/nonexistent".into(),
    };
    let crates = provide_crates(&inputs, &cargo, &case.manifests).unwrap();
    assert_eq!(crates.added, 1);
    // The signatures can still be checked, and all is found.
    let signed = locking::signed(&inputs, &case.lock).unwrap();
    assert_eq!((signed.signed, signed.entries), (11, 11), "{signed:?}");
    assert!(
        signed.problems.is_empty() && signed.notes.is_empty(),
        "{signed:?}"
    );
    let reach = locking::reach(&inputs, &case.lock).unwrap();
    assert_eq!(
        (reach.files, reach.gone.len(), reach.unclear.len()),
        (11, 0, 0)
    );
}

#[test]
fn a_second_run_verifies_and_mends_what_a_stopped_or_broken_one_has_left() {
    let case = Case::new();
    case.fill();
    let again = case.fill();
    assert_eq!((again.present, again.fetch.downloaded_files), (FILES, 0));
    assert!(again.mended.is_empty(), "{again:?}");
    let (gcc, m4) = (pool_path("gcc", "12"), pool_path("m4", "1.4"));
    let before = fs::read(case.mirror.join(&gcc)).unwrap();
    fs::write(case.mirror.join(&gcc), "half of it").unwrap();
    fs::remove_file(case.mirror.join(&m4)).unwrap();
    let mended = case.fill();
    assert_eq!(
        (mended.present, mended.mended),
        (FILES - 2, vec![gcc.clone()])
    );
    assert_eq!(fs::read(case.mirror.join(&gcc)).unwrap(), before);
    assert!(case.mirror.join(&m4).exists());
}

#[test]
fn what_is_only_in_the_store_is_copied_from_there() {
    let case = Case::new();
    provide_lock(&case.inputs, &case.lock).unwrap();
    provide_crates(&case.inputs, &case.cargo, &case.manifests).unwrap();
    let nix = case.inputs.nix.clone();
    // Another cache, without anything but what the store has; the archive is gone but for its indexes.
    let package = &case.lock.packages["gcc"];
    case.archive.server.remove(&format!("/{}", package.path));
    let case = Case {
        inputs: case
            .archive
            .inputs_in(&case.archive.dir.path().join("other"), nix.clone()),
        ..case
    };
    let report = case.fill();
    assert_eq!((report.files, report.missing.len()), (FILES, 0));
    // Only indexes and release files are not in the store.
    assert_eq!(report.fetch.downloaded_files, 5);
    assert!(query(&nix, &["--verify", "--check-contents"]).is_empty());
}

#[test]
fn a_release_file_that_is_gone_is_named_and_all_else_is_there() {
    let case = Case::new();
    case.archive
        .server
        .remove("/dists/stable-backports/InRelease");
    let pin = case.lock.suites["stable-backports"]
        .release
        .as_ref()
        .unwrap();
    fs::remove_file(case.inputs.downloads.by_hash(&pin.sha256)).unwrap();
    let report = case.fill();
    assert_eq!(report.missing, ["dists/stable-backports/InRelease"]);
    assert_eq!(report.files, FILES - 1);
}

#[test]
fn an_archive_that_cannot_be_asked_for_a_release_file_is_an_error() {
    let case = Case::new();
    case.archive
        .server
        .always("/dists/stable-backports/InRelease", Behaviour::Status(503));
    let pin = case.lock.suites["stable-backports"].release.as_ref();
    let pin = pin.unwrap();
    fs::remove_file(case.inputs.downloads.by_hash(&pin.sha256)).unwrap();
    let error = fill(
        &case.inputs,
        &case.lock,
        &case.cargo,
        &case.manifests,
        &case.mirror,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("InRelease"), "{error}");
}

#[test]
fn files_of_one_content_are_at_all_of_their_paths() {
    let mut case = Case::new();
    let mut twin = case.lock.packages["m4"].clone();
    twin.path = "pool/main/t/twin/twin_1_amd64.deb".to_owned();
    let first = case.lock.packages["m4"].path.clone();
    case.lock.packages.insert("a-twin".to_owned(), twin);
    assert_eq!(case.fill().files, FILES + 1);
    let read = |path: &str| fs::read(case.mirror.join(path)).unwrap();
    assert_eq!(read(&first), read("pool/main/t/twin/twin_1_amd64.deb"));
}

#[test]
fn a_directory_that_is_not_whole_has_a_list_of_all_that_belongs_there() {
    let case = Case::new();
    let missing = &case.lock.packages["m4"];
    case.archive.server.remove(&format!("/{}", missing.path));
    let filled = fill(
        &case.inputs,
        &case.lock,
        &case.cargo,
        &case.manifests,
        &case.mirror,
    );
    filled.unwrap_err();
    let sums = fs::read_to_string(case.mirror.join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), FILES);
    assert!(sums.contains(&format!("{}  {}\n", missing.sha256, missing.path)));
    assert!(!case.mirror.join(&missing.path).exists());
}

#[test]
fn what_a_killed_run_left_half_copied_goes_with_the_next() {
    let case = Case::new();
    let left = case.mirror.join(".partial/.tmpAbCdEf");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "half").unwrap();
    assert_eq!(case.fill().files, FILES);
    assert!(!left.parent().unwrap().exists());
}

#[test]
fn a_wrong_file_on_the_second_mirror_gets_nowhere() {
    let case = Case::new();
    case.fill();
    fs::write(case.mirror.join("crates/a/a-1.0.0.crate"), "CONTENTS").unwrap();
    fs::write(
        case.mirror.join(pool_path("m4", "1.4")),
        "!<arch>\nthe package m5 1.4",
    )
    .unwrap();
    let other = Archive::empty();
    let inputs = case.elsewhere(&other);
    let error = provide_lock(&inputs, &case.lock).unwrap_err().to_string();
    assert!(
        error.contains("m4") && error.contains("not the pinned file"),
        "{error}"
    );
    let cargo = Cargo {
        program: "/nonexistent/cargo".into(),
        home: "/nonexistent".into(),
    };
    provide_crates(&inputs, &cargo, &case.manifests).unwrap_err();
}
