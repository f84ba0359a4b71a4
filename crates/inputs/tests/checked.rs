// SPDX-License-Identifier: MIT OR Apache-2.0

//! `lock --check`: whether a lock follows from what the archive has signed, and whether its files are still there.

mod support;

use cki_inputs::Inputs;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, Mode, SignedReport};
use cki_inputs::signature::Verifier;
use support::archive::{Archive, BACKPORTS, REQUEST, STABLE, pool_path, request};
use support::fixture;
use support::nix::isolated;

const LATER: &str = "Sat, 28 Nov 2026 10:00:00 UTC";

fn locked(archive: &Archive) -> (Inputs, LockFile) {
    let inputs = archive.inputs(isolated(archive.dir.path()));
    let (lock, _) = locking::resolve(&inputs, &request(REQUEST), None, Mode::Keep).unwrap();
    (inputs, lock)
}

/// As another machine finds it, which has downloaded nothing.
fn elsewhere(archive: &Archive, lock: &LockFile) -> SignedReport {
    let cache = tempfile::tempdir().unwrap();
    let inputs = archive.inputs_in(cache.path(), isolated(archive.dir.path()));
    locking::signed(&inputs, lock).unwrap()
}

#[test]
fn every_entry_of_a_lock_is_found_in_the_indexes_that_it_was_made_from() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    for report in [
        locking::signed(&inputs, &lock).unwrap(),
        elsewhere(&archive, &lock),
    ] {
        assert_eq!((report.signed, report.entries), (11, 11));
        assert!(
            report.problems.is_empty() && report.notes.is_empty(),
            "{report:?}"
        );
    }
}

#[test]
fn an_entry_that_nobody_signed_is_named() {
    let archive = Archive::first();
    let (inputs, good) = locked(&archive);
    type Change = fn(&mut LockFile);
    let changes: [(&str, Change); 6] = [
        ("package gcc 12", |lock| {
            lock.packages.get_mut("gcc").unwrap().sha256 = "0".repeat(64);
        }),
        ("package m4 1.4", |lock| {
            lock.packages.get_mut("m4").unwrap().path = "pool/main/m5.deb".into();
        }),
        ("package flex 2.6", |lock| {
            lock.packages.get_mut("flex").unwrap().size += 1;
        }),
        ("source linux", |lock| {
            lock.sources.get_mut("linux").unwrap().sha256 = "0".repeat(64);
        }),
        ("source qemu", |lock| {
            lock.sources.get_mut("qemu").unwrap().path = "pool/other.tar.xz".into();
        }),
        ("the seed", |lock| lock.seed.sha256 = "0".repeat(64)),
    ];
    for (what, change) in changes {
        let mut lock = good.clone();
        change(&mut lock);
        let report = locking::signed(&inputs, &lock).unwrap();
        assert_eq!(report.problems.len(), 1, "{report:?}");
        assert!(report.problems[0].starts_with(what), "{report:?}");
    }
}

#[test]
fn a_lock_is_compared_with_the_current_indexes_when_the_archive_has_moved_on() {
    let archive = Archive::first();
    let (_, lock) = locked(&archive);
    let source = ("qemu", "10.0-1", "qemu_10.0.orig.tar.xz");
    archive.publish("stable-backports", LATER, BACKPORTS, Some(source));
    let report = elsewhere(&archive, &lock);
    assert_eq!((report.signed, report.problems.len()), (11, 0));
    assert!(report.notes[0].contains(LATER), "{report:?}");
    // What is no longer there as it is pinned cannot be vouched for by anybody.
    let newer: Vec<_> = STABLE
        .iter()
        .map(|(n, v, f)| (*n, if *n == "m4" { "99" } else { *v }, *f))
        .collect();
    archive.publish("stable", LATER, &newer, None);
    let report = elsewhere(&archive, &lock);
    assert_eq!(report.signed, 10);
    assert!(
        report.problems[0].starts_with("package m4 1.4"),
        "{report:?}"
    );
}

/// A release whose signature is none is not looked into; a lock of before, without its hash, is checked all the same.
#[test]
fn signatures_are_checked_also_of_what_is_kept() {
    let archive = Archive::first();
    let (mut inputs, mut lock) = locked(&archive);
    inputs.verifier = Verifier::new(fixture("keyring.gpg"));
    let report = locking::signed(&inputs, &lock).unwrap();
    assert_eq!((report.signed, report.problems.len()), (0, 2), "{report:?}");
    assert!(
        report.problems[0].contains("no good signature"),
        "{report:?}"
    );
    for suite in lock.suites.values_mut() {
        suite.release = None;
    }
    let report = elsewhere(&archive, &lock);
    assert_eq!(
        (report.signed, report.problems.len()),
        (11, 0),
        "{report:?}"
    );
}

#[test]
fn a_lock_of_before_gets_its_release_files_without_any_other_change() {
    let archive = Archive::first();
    let (inputs, new) = locked(&archive);
    let mut old = new.clone();
    for suite in old.suites.values_mut() {
        suite.release = None;
    }
    assert_eq!(LockFile::parse(&old.to_text()).unwrap(), old);
    let (lock, report) =
        locking::resolve(&inputs, &request(REQUEST), Some(&old), Mode::Keep).unwrap();
    assert_eq!(lock, new);
    assert!(report.changed && report.added.is_empty() && report.updated.is_empty());
}

#[test]
fn files_that_are_gone_or_do_not_answer_are_named_without_downloading_any() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    let sent = archive.server.sent();
    let report = locking::reach(&inputs, &lock).unwrap();
    assert_eq!(
        (report.files, report.gone.len(), report.unclear.len()),
        (11, 0, 0)
    );
    archive
        .server
        .remove(&format!("/{}", pool_path("m4", "1.4")));
    let report = locking::reach(&inputs, &lock).unwrap();
    assert_eq!((report.gone.len(), report.unclear.len()), (1, 0));
    assert!(report.gone[0].starts_with("m4 ("), "{report:?}");
    assert_eq!(archive.server.sent(), sent, "only questions were asked");
    let asked = archive.server.requests();
    assert!(asked.iter().filter(|r| r.starts_with("HEAD ")).count() >= 22);
}

#[test]
fn a_page_in_the_place_of_a_file_is_no_answer() {
    let archive = Archive::first();
    let (inputs, lock) = locked(&archive);
    archive.server.put(
        &format!("/{}", pool_path("m4", "1.4")),
        b"log in first".to_vec(),
    );
    let report = locking::reach(&inputs, &lock).unwrap();
    assert_eq!((report.gone.len(), report.unclear.len()), (0, 1));
    let told = &report.unclear[0];
    assert!(
        told.starts_with("m4: ") && told.contains("it has 12 bytes, not "),
        "{told}"
    );
}

#[test]
fn a_damaged_pin_is_no_lock() {
    let archive = Archive::first();
    let (_, lock) = locked(&archive);
    for path in ["../InRelease", "/InRelease", "a/../../b"] {
        let mut bad = lock.clone();
        bad.suites
            .get_mut("stable")
            .unwrap()
            .release
            .as_mut()
            .unwrap()
            .path = path.into();
        let error = LockFile::parse(&bad.to_text()).unwrap_err();
        assert!(error.contains("suite stable"), "{error}");
    }
}
