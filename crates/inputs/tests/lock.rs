// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locking and resolving against an archive that changes.

mod support;

use std::fs;
use std::path::Path;

use cki_debian::release::{ReleaseError, Verifier};
use cki_debian::resolver::ResolveError;
use cki_inputs::app::resolve_app;
use cki_inputs::fetch::error::FetchError;
use cki_inputs::lock::{self, LockReport, Mode};
use cki_inputs::lockfile::{LockFile, LockFileError};
use cki_inputs::request::Request;
use cki_inputs::{Inputs, InputsError};
use cki_nix::Nix;
use support::archive::{Archive, BACKPORTS, REQUEST, STABLE, request};
use support::fixture;

const DATE: &str = "Sat, 12 Sep 2026 10:00:00 UTC";

fn inputs(archive: &Archive) -> Inputs {
    archive.inputs(Nix::current())
}

fn lock(
    archive: &Archive,
    request_text: &str,
    old: Option<&LockFile>,
    mode: Mode,
) -> (LockFile, LockReport) {
    lock::resolve(&inputs(archive), &request(request_text), old, mode).unwrap()
}

fn with_bison() -> String {
    REQUEST.replace("flex = \"*\"", "flex = \"*\"\nbison = \"*\"")
}

/// The archive's second state: newer gcc and m4.
fn move_on(archive: &Archive) {
    let newer = |name: &str| ["gcc", "m4"].contains(&name);
    let rows: Vec<_> = STABLE
        .iter()
        .map(|(n, v, f)| {
            if newer(n) {
                (*n, "99", *f)
            } else {
                (*n, *v, *f)
            }
        })
        .collect();
    archive.publish("stable", DATE, &rows, None);
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
    assert!(lock::check(&request(REQUEST), &lock).consistent);
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
    move_on(&archive);
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
    let (third, report) = lock::resolve(
        &elsewhere,
        &request(&with_bison()),
        Some(&first),
        Mode::Keep,
    )
    .unwrap();
    assert_eq!(third.packages, second.packages);
    assert_eq!(
        (report.warnings.len(), third.suites["stable"].date.as_str()),
        (1, DATE)
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
    move_on(&archive);
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
    archive.publish("stable", DATE, &rows, None);
    let (second, _) = lock(&archive, REQUEST, Some(&first), Mode::Update);
    assert_ne!(second.seed.sha256, first.seed.sha256);
}

#[test]
fn check_says_what_does_not_fit() {
    let archive = Archive::first();
    let (good, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let problems = |request_text: &str| {
        lock::check(&request(request_text), &good)
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
    let found = lock::check(&request(&REQUEST.replace("flex = \"*\"", "")), &orphaned)
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
        lock::resolve(&inputs(&archive), &request(text), None, Mode::Keep)
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
        || lock::resolve(&inputs(&archive), &request(REQUEST), None, Mode::Update).unwrap_err();
    archive.server.put(
        "/dists/stable/InRelease",
        "Codename: other\nDate: x\nSHA256:\n",
    );
    assert!(matches!(
        failure(),
        InputsError::Release(ReleaseError::WrongSuite { .. })
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
        lock::resolve(&inputs(&archive), &request(REQUEST), None, Mode::Update).unwrap_err();
    let refused = matches!(
        error,
        InputsError::Fetch(FetchError::WrongHash { .. } | FetchError::Truncated { .. })
    );
    assert!(refused, "{error:?}");
}

#[test]
fn an_application_gets_what_it_needs_and_what_every_system_has() {
    let archive = Archive::first();
    let (pinned, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let inputs = inputs(&archive);
    let plan = resolve_app(&inputs, &pinned, &["redis-server".into(), "awk".into()]).unwrap();
    let names: Vec<&str> = plan.packages.iter().map(|p| p.package.as_str()).collect();
    assert_eq!(
        names,
        [
            "base-files",
            "bash",
            "libc6",
            "libgcc-s1",
            "libtinfo6",
            "mawk",
            "redis-server"
        ]
    );
    assert_eq!(
        (plan.requested, plan.roots),
        (
            vec!["awk".into(), "redis-server".into()],
            vec!["mawk".to_owned(), "redis-server".into()]
        )
    );
    assert_eq!(plan.essential, ["base-files", "bash"]);
    assert!(plan.warnings.is_empty());
}

#[test]
fn a_plan_depends_on_what_is_asked_for_and_not_on_its_order() {
    let archive = Archive::first();
    let (pinned, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let inputs = inputs(&archive);
    let plan = |names: &[&str]| {
        resolve_app(
            &inputs,
            &pinned,
            &names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
        .unwrap()
    };
    let first = plan(&["flex", "redis-server"]);
    // The second time it comes from the cache: the index is not even there any more.
    let index = pinned.suites["stable"].indexes.packages.clone().unwrap();
    fs::remove_file(inputs.downloads.by_hash(&index.sha256)).unwrap();
    let requests = archive.server.requests().len();
    assert_eq!(plan(&["redis-server", "flex", "flex"]), first);
    assert_eq!(archive.server.requests().len(), requests);
    assert_ne!(plan(&["flex"]).hash, first.hash);
    assert_eq!(
        plan(&["flex", "m4"]).hash,
        plan(&["flex"]).hash,
        "m4 is there anyway"
    );
}

#[test]
fn an_unknown_application_package_is_reported_with_the_nearest_names() {
    let archive = Archive::first();
    let (pinned, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let failure = |name: &str| resolve_app(&inputs(&archive), &pinned, &[name.into()]).unwrap_err();
    let error = failure("redis");
    assert!(matches!(
        error,
        InputsError::Resolve(ResolveError::Unknown { .. })
    ));
    assert_eq!(
        error.to_string(),
        "there is no package 'redis', wanted by the command line; did you mean redis-server?"
    );
    for name in ["", "../x", "Redis", "a b"] {
        assert!(
            matches!(
                failure(name),
                InputsError::Resolve(ResolveError::Unknown { .. })
            ),
            "{name:?}"
        );
    }
}

#[test]
fn an_application_is_resolved_from_the_archives_current_state_when_the_pinned_one_is_gone() {
    let archive = Archive::first();
    let (pinned, _) = lock(&archive, REQUEST, None, Mode::Keep);
    move_on(&archive);
    let elsewhere = archive.inputs_in(&archive.dir.path().join("elsewhere"), Nix::current());
    let m4 = ["m4".to_owned()];
    let plan = resolve_app(&elsewhere, &pinned, &m4).unwrap();
    let version = &plan
        .packages
        .iter()
        .find(|p| p.package == "m4")
        .unwrap()
        .version;
    assert_eq!(
        (version.as_str(), plan.date.as_str(), plan.warnings.len()),
        ("99", DATE, 1)
    );
    assert!(
        plan.warnings[0].contains("no longer has stable as pinned (Sat, 11 Jul 2026"),
        "{:?}",
        plan.warnings
    );
    // The warning is given each time.
    assert_eq!(resolve_app(&elsewhere, &pinned, &m4).unwrap(), plan);
    // Not without a good signature.
    let mut distrusting = elsewhere;
    distrusting.verifier = Verifier::new(fixture("keyring.gpg"));
    let error = resolve_app(&distrusting, &pinned, &m4).unwrap_err();
    assert!(
        matches!(
            error,
            InputsError::Release(ReleaseError::BadSignature { .. })
        ),
        "{error:?}"
    );
}

#[test]
fn the_old_index_is_found_under_its_hash() {
    let archive = Archive::first();
    let (pinned, _) = lock(&archive, REQUEST, None, Mode::Keep);
    let index = pinned.suites["stable"].indexes.packages.clone().unwrap();
    let old = fs::read(inputs(&archive).downloads.by_hash(&index.sha256)).unwrap();
    archive.server.put(
        &format!(
            "/dists/stable/main/binary-amd64/by-hash/SHA256/{}",
            index.sha256
        ),
        old,
    );
    move_on(&archive);
    let elsewhere = archive.inputs_in(&archive.dir.path().join("elsewhere"), Nix::current());
    let plan = resolve_app(&elsewhere, &pinned, &["m4".into()]).unwrap();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn the_projects_own_request_and_lock_fit_together() {
    let nix = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nix/debian");
    let request = Request::read(&nix.join("request.toml")).unwrap();
    let lock = LockFile::read(&nix.join("lock.json")).unwrap();
    assert_eq!(lock::check(&request, &lock).problems, [""; 0]);
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
