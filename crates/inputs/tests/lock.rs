// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locking and resolving against an archive that changes.

mod support;

use std::fs;
use std::path::Path;

use cki_debian::release::ReleaseError;
use cki_inputs::fetch_error::FetchError;
use cki_inputs::lock_json::{LockFile, LockFileError};
use cki_inputs::locking::{self, LockReport, Mode};
use cki_inputs::request::Request;
use cki_inputs::signature::SignatureError;
use cki_inputs::{Inputs, InputsError};
use cki_nix::Nix;
use support::archive::{Archive, BACKPORTS, MOVED_ON, REQUEST, STABLE, request};

fn inputs(archive: &Archive) -> Inputs {
    archive.inputs(Nix::current())
}

fn lock(
    archive: &Archive,
    request_text: &str,
    old: Option<&LockFile>,
    mode: Mode,
) -> (LockFile, LockReport) {
    locking::resolve(&inputs(archive), &request(request_text), old, mode).unwrap()
}

fn with_bison() -> String {
    REQUEST.replace("flex = \"*\"", "flex = \"*\"\nbison = \"*\"")
}

#[test]
fn a_request_becomes_a_complete_lock_file() {
    let archive = Archive::first();
    let (lock, report) = lock(&archive, REQUEST, None, Mode::Keep);
    let names: Vec<&str> = lock.packages.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "bash",
            "binutils",
            "busybox-static",
            "flex",
            "gcc",
            "libc6",
            "libgcc-s1",
            "libtinfo6",
            "m4"
        ]
    );
    assert_eq!(
        lock.packages["flex"].version.as_str(),
        "2.6",
        "backports are not automatic"
    );
    assert_eq!(lock.packages["bash"].deps, ["libc6", "libtinfo6"]);
    assert_eq!(lock.base, ["bash", "gcc"]);
    assert_eq!(lock.tools["flex"], ["flex"]);
    assert_eq!(
        lock.sources["linux"].path,
        "pool/main/linux-source_6.12_amd64.deb"
    );
    assert_eq!(lock.sources["qemu"].store, "qemu_10.0.orig.tar.xz");
    assert_eq!(lock.suites["stable"].version.as_deref(), Some("1.0"));
    assert!(lock.suites["stable-backports"].indexes.sources.is_some());
    assert_eq!(
        (report.changed, report.added.len(), report.packages),
        (true, 11, 9)
    );
    assert!(locking::check(&request(REQUEST), &lock).consistent);
    assert_eq!(LockFile::parse(&lock.to_text()).unwrap(), lock);
}

#[test]
fn locking_again_needs_no_network_and_changes_nothing() {
    let archive = Archive::first();
    let (first, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let requests = archive.server.requests().len();
    let (second, report) = lock(&archive, REQUEST, Some(&first), Mode::Keep);
    assert_eq!(second.to_text(), first.to_text());
    assert!(!report.changed && archive.server.requests().len() == requests);
    let other = Archive::first();
    assert_eq!(
        lock(&other, REQUEST, None, Mode::Update).0.to_text(),
        first.to_text(),
        "the same input gives the same lock"
    );
}

#[test]
fn an_addition_keeps_what_is_pinned_though_the_archive_has_moved_on() {
    let archive = Archive::first();
    let (first, _) = lock(&archive, REQUEST, None, Mode::Keep);
    archive.move_on();
    // The old index is in the cache: the new package comes from it.
    let (second, report) = lock(&archive, &with_bison(), Some(&first), Mode::Keep);
    assert_eq!(
        (report.added.as_slice(), report.updated.len()),
        (&["bison 3.8".to_owned()][..], 0)
    );
    assert!(report.warnings.is_empty());
    assert_eq!(
        (&second.packages["gcc"], &second.suites),
        (&first.packages["gcc"], &first.suites)
    );
    // On another machine it is not, and the archive has a new one.
    let elsewhere = archive.inputs_in(&archive.dir.path().join("elsewhere"), Nix::current());
    let (third, report) = locking::resolve(
        &elsewhere,
        &request(&with_bison()),
        Some(&first),
        Mode::Keep,
    )
    .unwrap();
    assert_eq!(third.packages, second.packages);
    assert_eq!(
        (report.warnings.len(), third.suites["stable"].date.as_str()),
        (1, MOVED_ON)
    );
    assert!(
        report.warnings[0].contains("stable has changed since Sat, 11 Jul 2026"),
        "{:?}",
        report.warnings
    );
}

#[test]
fn update_takes_what_the_archive_has_now() {
    let archive = Archive::first();
    let (first, _) = lock(&archive, REQUEST, None, Mode::Keep);
    archive.move_on();
    let (second, report) = lock(&archive, REQUEST, Some(&first), Mode::Update);
    assert_eq!(report.updated, ["gcc 12 -> 99", "m4 1.4 -> 99"]);
    assert_eq!(
        (report.added.len(), report.removed.len(), report.changed),
        (0, 0, true)
    );
    assert_eq!(second.seed, first.seed);
}

#[test]
fn what_nobody_asks_for_any_more_is_removed() {
    let archive = Archive::first();
    let (first, _) = lock(&archive, &with_bison(), None, Mode::Keep);
    let (_, report) = lock(&archive, REQUEST, Some(&first), Mode::Keep);
    assert_eq!(report.removed, ["bison 3.8"]);
}

#[test]
fn a_new_seed_package_gives_a_new_seed() {
    let archive = Archive::first();
    let (first, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let rows: Vec<_> = STABLE
        .iter()
        .map(|(n, v, f)| {
            if *n == "busybox-static" {
                (*n, "1.36", *f)
            } else {
                (*n, *v, *f)
            }
        })
        .collect();
    archive.publish("stable", MOVED_ON, &rows, None);
    let (second, _) = lock(&archive, REQUEST, Some(&first), Mode::Update);
    assert_ne!(second.seed.sha256, first.seed.sha256);
}

#[test]
fn check_says_what_does_not_fit() {
    let archive = Archive::first();
    let (good, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let problems = |request_text: &str| {
        locking::check(&request(request_text), &good)
            .problems
            .join("\n")
    };
    assert_eq!(problems(REQUEST), "");
    assert_eq!(problems(&with_bison()), "tool bison is not pinned");
    assert!(
        problems(&REQUEST.replace("flex = \"*\"", "flex = \">> 3\""))
            .contains("tool flex is pinned to 2.6, which is not >> 3")
    );
    let elsewhere = "flex = { suite = \"stable-backports\" }";
    assert!(
        problems(&REQUEST.replace("flex = \"*\"", elsewhere))
            .contains("pinned from the suite stable")
    );
    assert!(
        problems(&REQUEST.replace("\"gcc\", ", ""))
            .contains("base package gcc is pinned but no longer asked for")
    );
    assert!(
        problems(&REQUEST.replace("\"gcc\", ", "\"gcc\", \"m4\", "))
            .contains("base package m4 is not in the lock's base")
    );
    assert!(
        problems(&REQUEST.replace("linux = ", "linux2 = ")).contains("source linux2 is not pinned")
    );
    assert!(problems(&REQUEST.replace("bin/busybox", "bin/ash")).contains("the seed"));
    let mut orphaned = good.clone();
    orphaned.tools.clear();
    let found = locking::check(&request(&REQUEST.replace("flex = \"*\"", "")), &orphaned)
        .problems
        .join("\n");
    assert_eq!(
        found,
        "package flex is pinned but nothing needs it\npackage m4 is pinned but nothing needs it"
    );
}

#[test]
fn a_damaged_lock_file_is_refused() {
    let archive = Archive::first();
    let (good, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let text = good.to_text();
    let hash = &good.packages["gcc"].sha256;
    for (from, to) in [
        (&text[text.len() / 2..], ""),
        ("\"version\": 1\n", "\"version\": 2\n"),
        (hash.as_str(), "00"),
        ("pool/main/gcc", "../gcc"),
        ("\"gcc_12_amd64.deb\"", "\"gcc 12\""),
        ("\"libtinfo6\"\n", "\"libtinfo7\"\n"),
        ("\"suite\": \"stable\"", "\"suite\": \"other\""),
        ("\"seed\": {", "\"seeds\": {"),
    ] {
        assert!(text.contains(from), "{from}");
        let path = archive.dir.path().join("lock.json");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = LockFile::read(&path).unwrap_err();
        assert!(
            matches!(error, LockFileError::Damaged { .. }),
            "{from}: {error:?}"
        );
    }
    let missing = LockFile::read(&archive.dir.path().join("absent.json")).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("make it with `cki-build lock`"),
        "{missing}"
    );
}

#[test]
fn unknown_packages_and_versions_are_reported_with_who_wants_them() {
    let archive = Archive::first();
    let failure = |text: &str| {
        locking::resolve(&inputs(&archive), &request(text), None, Mode::Keep)
            .unwrap_err()
            .to_string()
    };
    let tool = |entry: &str| failure(&REQUEST.replace("flex = \"*\"", entry));
    assert!(tool("fleks = \"*\"").contains("no package 'fleks', wanted by [tools]"));
    assert!(tool("redis-sever = \"*\"").contains("did you mean redis-server?"));
    assert!(tool("flex = \">> 3\"").contains(
        "no version will do for 'flex (>> 3)', wanted by [tools]: there is flex 2.6 in stable"
    ));
    assert!(
        failure(&REQUEST.replace("linux-source", "linux-sauce"))
            .contains("wanted by [sources.linux]; did you mean linux-source?")
    );
    assert!(
        failure(&REQUEST.replace("source = \"qemu\"", "source = \"kemu\""))
            .contains("no package 'kemu', wanted by [sources.qemu]")
    );
    assert!(
        failure(&REQUEST.replace("bin/busybox", "bin/ash"))
            .contains("has no regular file 'bin/ash'")
    );
}

#[test]
fn a_suite_of_another_name_or_without_the_index_is_refused() {
    let archive = Archive::first();
    let failure =
        || locking::resolve(&inputs(&archive), &request(REQUEST), None, Mode::Update).unwrap_err();
    archive.server.put(
        "/dists/stable/InRelease",
        "Codename: other\nDate: x\nSHA256:\n",
    );
    assert!(matches!(
        failure(),
        InputsError::Release(SignatureError::Release(ReleaseError::WrongSuite { .. }))
    ));
    archive.server.put(
        "/dists/stable/InRelease",
        "Codename: stable\nDate: x\nSHA256:\n",
    );
    assert!(matches!(failure(), InputsError::NoIndex { .. }));
    archive.server.remove("/dists/stable/InRelease");
    assert!(matches!(
        failure(),
        InputsError::Fetch(FetchError::Gone { .. })
    ));
}

#[test]
fn an_index_that_is_not_the_signed_one_is_refused() {
    let archive = Archive::first();
    archive.server.put(
        "/dists/stable/main/binary-amd64/Packages.xz",
        support::archive::xz("Package: evil\n"),
    );
    let error =
        locking::resolve(&inputs(&archive), &request(REQUEST), None, Mode::Update).unwrap_err();
    let refused = matches!(
        error,
        InputsError::Fetch(FetchError::WrongHash { .. } | FetchError::Truncated { .. })
    );
    assert!(refused, "{error:?}");
}

#[test]
fn the_projects_own_request_and_lock_fit_together() {
    let nix = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nix/debian");
    let request = Request::read(&nix.join("request.toml")).unwrap();
    let lock = LockFile::read(&nix.join("lock.json")).unwrap();
    assert_eq!(locking::check(&request, &lock).problems, [""; 0]);
    assert_eq!(
        fs::read_to_string(nix.join("lock.json")).unwrap(),
        lock.to_text(),
        "written by cki-build lock"
    );
    assert!(
        lock.packages["rustc-web"]
            .version
            .as_str()
            .starts_with("1.85.")
    );
    assert!(BACKPORTS.len() < lock.packages.len());
}
