// SPDX-License-Identifier: MIT OR Apache-2.0

//! Resolving the packages of application images.

mod support;

use std::fs;

use cki_debian::resolver::ResolveError;
use cki_inputs::app::resolve_app;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, Mode};
use cki_inputs::plan::AppPlan;
use cki_inputs::signature::{SignatureError, Verifier};
use cki_inputs::updates::Versions;
use cki_inputs::{Inputs, InputsError};
use cki_nix::Nix;
use support::archive::{Archive, MOVED_ON, REQUEST, request};
use support::fixture;

fn inputs(archive: &Archive) -> Inputs {
    archive.inputs(Nix::current())
}

fn pinned(archive: &Archive) -> LockFile {
    let (lock, _) =
        locking::resolve(&inputs(archive), &request(REQUEST), None, Mode::Keep).unwrap();
    lock
}

#[test]
fn an_application_gets_what_it_needs_and_what_every_system_has() {
    let archive = Archive::first();
    let pinned = pinned(&archive);
    let inputs = inputs(&archive);
    let plan = resolve_app(
        &inputs,
        &pinned,
        &["redis-server".into(), "awk".into()],
        Versions::Pinned,
    )
    .unwrap();
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
fn a_package_comes_from_the_suite_that_is_asked_for_and_others_do_not() {
    let archive = Archive::first();
    let date = "Sun, 22 Nov 2026 02:10:46 UTC";
    let source = ("qemu", "10.0-1", "qemu_10.0.orig.tar.xz");
    let rows = [
        ("linux-source", "6.12-1", ""),
        ("redis-server", "99-1", "Depends: m4"),
    ];
    archive.publish("stable-backports", date, &rows, Some(source));
    let pinned = pinned(&archive);
    let inputs = inputs(&archive);
    let plan = |name: &str| resolve_app(&inputs, &pinned, &[name.into()], Versions::Pinned);
    let found = |plan: &AppPlan, name: &str| {
        let package = plan.packages.iter().find(|p| p.package == name);
        package.unwrap().suite.clone()
    };
    assert_eq!(
        found(&plan("redis-server").unwrap(), "redis-server"),
        "stable"
    );
    let newer = plan("redis-server/stable-backports").unwrap();
    assert_eq!(found(&newer, "redis-server"), "stable-backports");
    // What it needs comes from where it usually does.
    assert_eq!(found(&newer, "m4"), "stable");
    assert_eq!(newer.requested, ["redis-server/stable-backports"]);
    assert_eq!(newer.roots, ["redis-server"]);
    let error = plan("m4/stable-backports").unwrap_err();
    assert!(matches!(error, InputsError::Resolve(_)), "{error}");
    assert_eq!(
        plan("bash/unstable").unwrap_err().to_string(),
        "there is no suite unstable, which bash/unstable is to come from; pinned are stable, stable-backports"
    );
}

#[test]
fn a_plan_depends_on_what_is_asked_for_and_not_on_its_order() {
    let archive = Archive::first();
    let pinned = pinned(&archive);
    let inputs = inputs(&archive);
    let plan = |names: &[&str]| {
        resolve_app(
            &inputs,
            &pinned,
            &names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            Versions::Pinned,
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
    let pinned = pinned(&archive);
    let failure = |name: &str| {
        resolve_app(&inputs(&archive), &pinned, &[name.into()], Versions::Pinned).unwrap_err()
    };
    let error = failure("redis");
    assert!(matches!(
        error,
        InputsError::Resolve(ResolveError::Unknown { .. })
    ));
    assert_eq!(
        error.to_string(),
        "there is no package 'redis', wanted by the command line; did you mean redis-server?"
    );
    for name in ["", "..x", "Redis", "a b"] {
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
    let pinned = pinned(&archive);
    archive.move_on();
    let elsewhere = archive.inputs_in(&archive.dir.path().join("elsewhere"), Nix::current());
    let m4 = ["m4".to_owned()];
    let plan = resolve_app(&elsewhere, &pinned, &m4, Versions::Pinned).unwrap();
    let version = &plan
        .packages
        .iter()
        .find(|p| p.package == "m4")
        .unwrap()
        .version;
    assert_eq!(
        (
            version.as_str(),
            plan.suites["stable"].date.as_str(),
            plan.warnings.len()
        ),
        ("99", MOVED_ON, 1)
    );
    assert!(
        plan.warnings[0].contains("no longer has stable as pinned (Sat, 11 Jul 2026"),
        "{:?}",
        plan.warnings
    );
    // The warning is given each time.
    assert_eq!(
        resolve_app(&elsewhere, &pinned, &m4, Versions::Pinned).unwrap(),
        plan
    );
    // Not without a good signature.
    let mut distrusting = elsewhere;
    distrusting.verifier = Verifier::new(fixture("keyring.gpg"));
    let error = resolve_app(&distrusting, &pinned, &m4, Versions::Pinned).unwrap_err();
    assert!(
        matches!(
            error,
            InputsError::Release(SignatureError::BadSignature { .. })
        ),
        "{error:?}"
    );
}

#[test]
fn the_old_index_is_found_under_its_hash() {
    let archive = Archive::first();
    let pinned = pinned(&archive);
    let index = pinned.suites["stable"].indexes.packages.clone().unwrap();
    let old = fs::read(inputs(&archive).downloads.by_hash(&index.sha256)).unwrap();
    archive.server.put(
        &format!(
            "/dists/stable/main/binary-amd64/by-hash/SHA256/{}",
            index.sha256
        ),
        old,
    );
    archive.move_on();
    let elsewhere = archive.inputs_in(&archive.dir.path().join("elsewhere"), Nix::current());
    let plan = resolve_app(&elsewhere, &pinned, &["m4".into()], Versions::Pinned).unwrap();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}
