// SPDX-License-Identifier: MIT OR Apache-2.0

//! From an archive into a Nix store: real `nix-store` commands on a store of the test's own.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use cki_inputs::app::resolve_app;
use cki_inputs::cargo::{Cargo, CargoError};
use cki_inputs::fetch_error::FetchError;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, Mode};
use cki_inputs::provide::{provide_app, provide_lock, store_paths};
use cki_inputs::provide_crates::provide_crates;
use cki_inputs::updates::Versions;
use cki_inputs::{Inputs, InputsError};
use cki_nix::path::{self, store_name};
use cki_nix::store::StoreError;
use support::archive::{Archive, REQUEST, deb, pool_path, request};
use support::nix::{isolated, query};
use support::{Behaviour, sha256};

fn locked(archive: &Archive) -> (Inputs, LockFile) {
    let inputs = archive.inputs(isolated(archive.dir.path()));
    let (lock, _) = locking::resolve(&inputs, &request(REQUEST), None, Mode::Keep).unwrap();
    (inputs, lock)
}

#[test]
fn store_paths_are_those_that_nix_computes() {
    let dir = tempfile::tempdir().unwrap();
    let nix = isolated(dir.path());
    for (i, file) in ["a.deb", "libstdc++6_12~rc1+b2_amd64.deb", "=?_-.x", "0"]
        .into_iter()
        .enumerate()
    {
        let (hash, name) = (sha256(&[u8::try_from(i).unwrap()]), store_name(file));
        let ours = |mode| nix.fixed_output(&name, mode, &hash).display().to_string();
        assert_eq!(
            ours(path::Mode::Flat),
            query(&nix, &["--print-fixed-path", "sha256", &hash, &name])
        );
        let theirs = query(
            &nix,
            &["--recursive", "--print-fixed-path", "sha256", &hash, &name],
        );
        assert_eq!(ours(path::Mode::Recursive), theirs);
    }
}

#[test]
fn everything_that_is_pinned_gets_into_the_store_once() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let before = archive.server.sent();
    let report = provide_lock(&inputs, &lock).unwrap();
    // Packages of the closure, two sources and the seed; the seed's package was needed to lock it.
    let files = lock.packages.len() + lock.sources.len() + 1;
    assert_eq!(
        (report.files, report.in_store, report.added),
        (files, 0, files)
    );
    let sizes = lock
        .packages
        .values()
        .map(|p| p.size)
        .chain(lock.sources.values().map(|s| s.size));
    let total: u64 = sizes.sum::<u64>() - lock.packages["busybox-static"].size;
    assert_eq!(
        (
            report.fetch.downloaded_bytes,
            archive.server.sent() - before
        ),
        (total, total)
    );
    for path in store_paths(&inputs, &lock) {
        assert!(path.exists(), "{}", path.display());
    }
    let gcc = &lock.packages["gcc"];
    let path = inputs
        .nix
        .fixed_output(&gcc.store, path::Mode::Flat, &gcc.sha256);
    assert_eq!(fs::read(&path).unwrap(), deb("gcc", "12"));
    assert_eq!(
        query(&inputs.nix, &["--query", "--hash", path.to_str().unwrap()]).len(),
        "sha256:".len() + 52
    );

    let requests = archive.server.requests().len();
    let again = provide_lock(&inputs, &lock).unwrap();
    assert_eq!(
        (again.files, again.in_store, again.added),
        (files, files, 0)
    );
    assert_eq!(archive.server.requests().len(), requests);
}

#[test]
fn the_seed_is_a_directory_with_one_executable_program() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    provide_lock(&inputs, &lock).unwrap();
    let seed = inputs
        .nix
        .fixed_output("cki-seed", path::Mode::Recursive, &lock.seed.sha256);
    let names: Vec<_> = fs::read_dir(&seed)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["busybox"]);
    assert_eq!(
        fs::read_to_string(seed.join("busybox")).unwrap(),
        "#!/bin/sh\necho busybox 1.35\n"
    );
    assert_eq!(
        fs::metadata(seed.join("busybox"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o555
    );
}

#[test]
fn a_seed_that_is_not_the_pinned_one_is_refused() {
    let archive = Archive::first();
    let (inputs, mut lock) = locked(&archive);
    lock.seed.sha256 = "0".repeat(64);
    let error = provide_lock(&inputs, &lock).unwrap_err();
    assert!(matches!(error, InputsError::Seed { .. }), "{error:?}");
    let wrong = inputs
        .nix
        .fixed_output("cki-seed", path::Mode::Recursive, &lock.seed.sha256);
    assert!(!wrong.exists());
}

#[test]
fn a_cached_file_that_was_damaged_is_dropped_instead_of_imported() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let gcc = &lock.packages["gcc"];
    let cached = inputs.downloads.by_hash(&gcc.sha256);
    fs::write(&cached, vec![b'x'; usize::try_from(gcc.size).unwrap()]).unwrap();
    let error = provide_lock(&inputs, &lock).unwrap_err();
    assert!(
        matches!(&error, InputsError::Damaged(path) if *path == cached),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("run the command again"),
        "{error}"
    );
    let path = inputs
        .nix
        .fixed_output(&gcc.store, path::Mode::Flat, &gcc.sha256);
    assert!(!path.exists() && !cached.exists());
    provide_lock(&inputs, &lock).unwrap();
    assert_eq!(fs::read(path).unwrap(), deb("gcc", "12"));
}

#[test]
fn a_file_that_exists_in_the_store_directory_without_being_registered_is_added_properly() {
    // What a crash of Nix, or a copy by hand, leaves behind.
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let gcc = &lock.packages["gcc"];
    let path = inputs
        .nix
        .fixed_output(&gcc.store, path::Mode::Flat, &gcc.sha256);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "half of it").unwrap();
    let report = provide_lock(&inputs, &lock).unwrap();
    assert_eq!(report.in_store, 0);
    assert_eq!(fs::read(path).unwrap(), deb("gcc", "12"));
}

#[test]
fn two_at_once_download_each_byte_once_and_both_succeed() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let before = archive.server.sent();
    let (cache, nix) = (inputs.downloads.root().to_owned(), inputs.nix.clone());
    let reports: Vec<_> = thread::scope(|scope| {
        let run = || {
            let inputs = archive.inputs_in(&cache, nix.clone());
            provide_lock(&inputs, &lock).unwrap()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let downloaded: u64 = reports.iter().map(|r| r.fetch.downloaded_bytes).sum();
    let pinned = lock
        .packages
        .values()
        .map(|p| p.size)
        .chain(lock.sources.values().map(|s| s.size))
        .sum::<u64>();
    assert_eq!(downloaded, pinned - lock.packages["busybox-static"].size);
    assert_eq!(archive.server.sent() - before, downloaded);
    assert_eq!(
        reports.iter().map(|r| r.added).sum::<usize>(),
        reports[0].files
    );
}

#[test]
fn after_a_failure_only_what_is_missing_is_downloaded() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let m4 = format!("/{}", pool_path("m4", "1.4"));
    archive.server.always(&m4, Behaviour::Status(404));
    let error = provide_lock(&inputs, &lock).unwrap_err();
    assert!(
        matches!(&error, InputsError::Fetch(FetchError::Gone { name, .. }) if name == "m4"),
        "{error:?}"
    );
    // The failure stopped the other downloads at any point; those that were complete are not begun again.
    let complete: Vec<String> = (lock.packages.values())
        .filter(|p| inputs.downloads.has(&p.sha256, p.size))
        .map(|p| format!("/{}", p.path))
        .collect();
    assert!(complete.len() < lock.packages.len());
    archive.server.always(&m4, Behaviour::Serve);
    provide_lock(&inputs, &lock).unwrap();
    for path in complete {
        let times = archive
            .server
            .requests()
            .iter()
            .filter(|r| **r == path)
            .count();
        assert_eq!(times, 1, "{path}");
    }
}

#[test]
fn without_nix_the_error_says_how_to_get_it() {
    let archive = Archive::first();
    let (mut inputs, lock) = locked(&archive);
    inputs.nix.nix_store = "/nonexistent/nix-store".into();
    let error = provide_lock(&inputs, &lock).unwrap_err();
    assert!(
        matches!(error, InputsError::Store(StoreError::NoNix(_))),
        "{error:?}"
    );
}

#[test]
fn an_applications_packages_get_into_the_store() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let plan = resolve_app(&inputs, &lock, &["redis-server".into()], Versions::Pinned).unwrap();
    let report = provide_app(&inputs, &plan).unwrap();
    assert_eq!(
        (report.files, report.added),
        (plan.packages.len(), plan.packages.len())
    );
    for (package, path) in plan.packages.iter().zip(plan.store_paths(&inputs.nix)) {
        assert_eq!(
            fs::read(path).unwrap(),
            deb(&package.package, package.version.as_str())
        );
    }
}

/// A workspace with one crate in its Cargo.lock, and a cargo that "downloads" it.
struct Workspace {
    dir: tempfile::TempDir,
    cargo: Cargo,
}

impl Workspace {
    fn new(checksum: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("cargo-home");
        let program = dir.path().join("cargo");
        let cache = home.join("registry/cache/some-registry");
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {0}/calls\nmkdir -p {1}\nprintf contents > {1}/a-1.0.0+x.crate\n",
            dir.path().display(),
            cache.display()
        );
        cki_process::files::write_program(&program, &script).unwrap();
        let lock = format!(
            "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\n\
             source = \"registry+https://registry.example.org\"\nchecksum = \"{checksum}\"\n"
        );
        fs::write(dir.path().join("Cargo.lock"), lock).unwrap();
        Self {
            dir,
            cargo: Cargo { program, home },
        }
    }

    fn manifest(&self) -> PathBuf {
        self.dir.path().join("Cargo.toml")
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.dir.path().join("calls")).map_or(0, |text| text.lines().count())
    }
}

#[test]
fn crates_get_into_the_store_and_cargo_is_run_only_when_needed() {
    let archive = Archive::empty();
    let inputs = archive.inputs(isolated(archive.dir.path()));
    let workspace = Workspace::new(&sha256(b"contents"));
    let report = provide_crates(&inputs, &workspace.cargo, &[workspace.manifest()]).unwrap();
    assert_eq!((report.files, report.added, workspace.calls()), (1, 1, 1));
    let path = inputs.nix.fixed_output(
        "crate-a-1.0.0_x.tar.gz",
        path::Mode::Flat,
        &sha256(b"contents"),
    );
    assert_eq!(fs::read(&path).unwrap(), b"contents");
    let again = provide_crates(&inputs, &workspace.cargo, &[workspace.manifest()]).unwrap();
    assert_eq!((again.in_store, again.added, workspace.calls()), (1, 0, 1));
    // In cargo's cache, but no longer in the store.
    query(&inputs.nix, &["--delete", path.to_str().unwrap()]);
    let third = provide_crates(&inputs, &workspace.cargo, &[workspace.manifest()]).unwrap();
    assert_eq!((third.added, workspace.calls()), (1, 1));
}

#[test]
fn a_crate_that_two_workspaces_lock_is_one_file() {
    let archive = Archive::empty();
    let inputs = archive.inputs(isolated(archive.dir.path()));
    let workspace = Workspace::new(&sha256(b"contents"));
    let other = Workspace::new(&sha256(b"contents"));
    let manifests = [workspace.manifest(), other.manifest()];
    let report = provide_crates(&inputs, &workspace.cargo, &manifests).unwrap();
    assert_eq!((report.files, report.added, workspace.calls()), (1, 1, 1));
}

#[test]
fn a_crate_with_a_wrong_hash_is_refused_and_left_in_place() {
    let archive = Archive::empty();
    let inputs = archive.inputs(isolated(archive.dir.path()));
    let workspace = Workspace::new(&sha256(b"other contents"));
    let error = provide_crates(&inputs, &workspace.cargo, &[workspace.manifest()]).unwrap_err();
    let InputsError::Cargo(CargoError::WrongHash { path, .. }) = &error else {
        panic!("{error:?}")
    };
    assert!(path.exists(), "cargo's cache is not ours to clean");
}

#[test]
fn a_failing_cargo_is_quoted() {
    let archive = Archive::empty();
    let inputs = archive.inputs(isolated(archive.dir.path()));
    let workspace = Workspace::new(&sha256(b"contents"));
    fs::write(
        &workspace.cargo.program,
        "#!/bin/sh\necho 'error: no network' >&2\nexit 101\n",
    )
    .unwrap();
    let error = provide_crates(&inputs, &workspace.cargo, &[workspace.manifest()]).unwrap_err();
    assert!(
        error.to_string().contains("fetch --locked") && error.to_string().contains("no network"),
        "{error}"
    );
    let absent = Cargo {
        program: Path::new("/nonexistent/cargo").into(),
        ..workspace.cargo.clone()
    };
    let error = provide_crates(&inputs, &absent, &[workspace.manifest()]).unwrap_err();
    assert!(
        matches!(error, InputsError::Cargo(CargoError::NoCargo { .. })),
        "{error:?}"
    );
}
