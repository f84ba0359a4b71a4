// SPDX-License-Identifier: MIT OR Apache-2.0

//! Security updates in application images.

mod support;

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cki_inputs::Inputs;
use cki_inputs::app::resolve_app;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, Mode};
use cki_inputs::plan::{AppPackage, AppPlan};
use cki_inputs::provide::provide_app;
use cki_inputs::signature::Verifier;
use cki_inputs::updates::Versions;
use cki_nix::Nix;

use support::archive::{Archive, REQUEST, request};
use support::{Behaviour, fixture};

const SUITE: &str = "stable-security";
const RELEASE: &str = "/dists/stable-security/InRelease";
const FIRST: &str = "Mon, 23 Nov 2026 10:00:00 UTC";
const LATER: &str = "Wed, 25 Nov 2026 10:00:00 UTC";

/// redis has an update; flex has one that a point release has overtaken; new-lib is there for redis only.
const UPDATES: &[(&str, &str, &str)] = &[
    ("redis-server", "7.0+deb1", "Depends: libc6, new-lib"),
    ("new-lib", "1", ""),
    ("flex", "2.5", ""),
    (
        "bash",
        "5.2+deb1",
        "Depends: libc6; Essential: yes; Pre-Depends: libtinfo6",
    ),
];

/// An archive with updates, what is pinned of it, and a cache that is empty.
fn archive() -> (Archive, LockFile, Inputs) {
    let archive = Archive::first();
    let inputs = archive.inputs(Nix::current());
    let (lock, _) =
        locking::resolve(&inputs, &request(REQUEST), None, Mode::Update).expect("pinned");
    archive.publish(SUITE, FIRST, UPDATES, None);
    let inputs = archive.inputs_in(&archive.dir.path().join("other"), Nix::current());
    (archive, lock, inputs)
}

fn resolve(inputs: &Inputs, lock: &LockFile, versions: Versions) -> AppPlan {
    let names = ["redis-server", "flex"].map(str::to_owned);
    resolve_app(inputs, lock, &names, versions).expect("resolved")
}

fn package<'a>(plan: &'a AppPlan, name: &str) -> Option<&'a AppPackage> {
    plan.packages.iter().find(|p| p.package == name)
}

fn version(plan: &AppPlan, name: &str) -> String {
    package(plan, name)
        .expect("it is there")
        .version
        .to_string()
}

/// Times at which the archive was asked for its release.
fn asked(archive: &Archive) -> usize {
    let requests = archive.server.requests();
    requests.iter().filter(|path| *path == RELEASE).count()
}

/// Makes what is known so much older.
fn age(inputs: &Inputs, by: Duration) {
    let path = inputs.downloads.updates(SUITE);
    let mut known: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    let then = SystemTime::now() - by;
    known["asked"] = then
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        .into();
    fs::write(&path, known.to_string()).expect("written");
}

#[test]
fn an_image_gets_security_updates_where_they_are_newer() {
    let (_archive, lock, inputs) = archive();
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(plan.warnings, [""; 0]);
    assert_eq!(version(&plan, "redis-server"), "7.0+deb1");
    assert_eq!(version(&plan, "bash"), "5.2+deb1", "the base, too");
    assert_eq!(version(&plan, "new-lib"), "1");
    assert_eq!(version(&plan, "flex"), "2.6", "newer than its update");
    let suites: Vec<_> = plan
        .suites
        .iter()
        .map(|(name, s)| (&name[..], &s.date[..]))
        .collect();
    let pinned = &lock.suites["stable"].date[..];
    assert_eq!(suites, [("stable", pinned), (SUITE, FIRST)]);
    provide_downloads(&inputs, &plan);
}

/// What a plan names can be downloaded.
fn provide_downloads(inputs: &Inputs, plan: &AppPlan) {
    for p in &plan.packages {
        let suite = &plan.suites[&p.suite];
        let suite = cki_inputs::mirrors::Suite {
            name: &p.suite,
            component: &suite.component,
            date: &suite.date,
        };
        let download = inputs
            .mirrors
            .download(suite, &p.package, &p.path, &p.sha256, p.size);
        inputs.fetcher.fetch(&[download]).expect("downloaded");
    }
}

#[test]
fn pinned_versions_are_those_of_the_lock_file_alone() {
    let (archive, lock, inputs) = archive();
    let plan = resolve(&inputs, &lock, Versions::Pinned);
    assert_eq!(version(&plan, "redis-server"), "7.0");
    assert_eq!(version(&plan, "bash"), "5.2");
    assert_eq!(plan.suites.keys().collect::<Vec<_>>(), ["stable"]);
    assert_eq!(asked(&archive), 0);
}

#[test]
fn the_archive_is_asked_once_a_day() {
    let (archive, lock, inputs) = archive();
    let first = resolve(&inputs, &lock, Versions::Current);
    archive.publish(
        SUITE,
        LATER,
        &[("redis-server", "7.0+deb2", "Depends: libc6")],
        None,
    );
    assert_eq!(resolve(&inputs, &lock, Versions::Current), first);
    assert_eq!(asked(&archive), 1);
    age(&inputs, Duration::from_secs(24 * 3600 + 1));
    let second = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(version(&second, "redis-server"), "7.0+deb2");
    assert_ne!(second.hash, first.hash);
    assert_eq!(asked(&archive), 2);
}

#[test]
fn who_downloads_elsewhere_keeps_nobody_from_asking_for_longer_than_some_days() {
    let (archive, lock, inputs) = archive();
    let day = Duration::from_secs(24 * 60 * 60);
    let other = || archive.inputs_in(&archive.dir.path().join("other"), Nix::current());
    resolve(&inputs, &lock, Versions::Current);
    let first = asked(&archive);
    age(&inputs, 2 * day);
    let guard = other().lock().expect("nobody else");
    resolve(&inputs, &lock, Versions::Current);
    assert_eq!(
        asked(&archive),
        first,
        "what was known the day before will do"
    );
    age(&inputs, 4 * day);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| resolve(&other(), &lock, Versions::Current));
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            assert!(!waits.is_finished(), "it did not ask");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(guard);
        waits.join().expect("resolved");
    });
    assert_eq!(asked(&archive), first + 1);
}

#[test]
fn an_archive_without_updates_is_told_of_and_asked_again_after_an_hour() {
    let (archive, lock, inputs) = archive();
    archive.server.always(RELEASE, Behaviour::Status(404));
    for _ in 0..2 {
        let plan = resolve(&inputs, &lock, Versions::Current);
        assert_eq!(version(&plan, "redis-server"), "7.0");
        let [warning] = &plan.warnings[..] else {
            panic!("{:?}", plan.warnings)
        };
        assert!(
            warning.contains("no security updates: ") && warning.contains("--pinned"),
            "{warning}"
        );
    }
    assert_eq!(asked(&archive), 1);
    archive.server.always(RELEASE, Behaviour::Serve);
    age(&inputs, Duration::from_secs(3601));
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(
        (version(&plan, "redis-server"), plan.warnings.len()),
        ("7.0+deb1".to_owned(), 0)
    );
}

#[test]
fn what_cannot_be_believed_leaves_the_updates_of_before() {
    let (archive, lock, inputs) = archive();
    let first = resolve(&inputs, &lock, Versions::Current);
    // Without a good signature.
    let mut distrusting = inputs.clone();
    distrusting.verifier = Verifier::new(fixture("keyring.gpg"));
    // Older than what was there, as somebody serves it who holds back what is new.
    for (inputs, date) in [
        (&distrusting, LATER),
        (&inputs, "Sun, 22 Nov 2026 10:00:00 UTC"),
    ] {
        archive.publish(SUITE, date, &[("redis-server", "7.0+evil", "")], None);
        age(inputs, Duration::from_secs(24 * 3600 + 1));
        let plan = resolve(inputs, &lock, Versions::Current);
        assert_eq!(plan.packages, first.packages);
        let warning = plan.warnings.join(" ");
        assert!(
            warning.contains(&format!("updates are those of {FIRST}: ")),
            "{warning}"
        );
    }
}

#[test]
fn updates_that_do_not_fit_the_pinned_release_are_left_out_and_told_of() {
    let (archive, lock, inputs) = archive();
    // One wants another version of what has an update, too; the other was built for a release that is not pinned.
    let half = [
        ("redis-server", "7.0+deb1", "Depends: m4 (= 1.4)"),
        ("m4", "1.4+deb1", ""),
    ];
    let newer = [("redis-server", "7.0+deb1", "Depends: libc6 (>= 3)")];
    resolve(&inputs, &lock, Versions::Current);
    for rows in [&half[..], &newer] {
        archive.publish(SUITE, LATER, rows, None);
        age(&inputs, Duration::from_secs(48 * 3600));
        let plan = resolve(&inputs, &lock, Versions::Current);
        assert_eq!(version(&plan, "redis-server"), "7.0");
        let warning = plan.warnings.join(" ");
        assert!(
            warning.contains("do not fit the pinned release"),
            "{warning}"
        );
    }
    // What nobody can have is told as before.
    let names = ["nothing".to_owned()];
    let error = resolve_app(&inputs, &lock, &names, Versions::Current).expect_err("unknown");
    assert!(
        error.to_string().contains("no package 'nothing'"),
        "{error}"
    );
}

#[test]
fn an_update_of_one_that_provides_a_name_does_not_take_the_usual_ones_place() {
    let (archive, lock, inputs) = archive();
    let rows = [(
        "original-awk",
        "2+deb1",
        "Priority: optional; Provides: awk",
    )];
    archive.publish(SUITE, LATER, &rows, None);
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(version(&plan, "mawk"), "1.3");
    assert!(package(&plan, "original-awk").is_none());
}

#[test]
fn an_archive_that_sends_a_byte_now_and_then_is_given_up() {
    let (archive, lock, inputs) = archive();
    archive.server.always(RELEASE, Behaviour::Drip);
    let start = std::time::Instant::now();
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert!(
        plan.warnings.join(" ").contains("it comes too slowly"),
        "{:?}",
        plan.warnings
    );
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_update_that_the_archive_has_dropped_has_it_asked_anew() {
    let (archive, lock, inputs) = archive();
    let plan = resolve(&inputs, &lock, Versions::Current);
    let path = &package(&plan, "redis-server").expect("there").path;
    archive.server.remove(&format!("/{path}"));
    let error = provide_app(&inputs, &plan).expect_err("gone").to_string();
    assert!(
        error.contains("no redis-server as stable-security listed it"),
        "{error}"
    );
    archive.publish(
        SUITE,
        LATER,
        &[("redis-server", "7.0+deb2", "Depends: libc6")],
        None,
    );
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(version(&plan, "redis-server"), "7.0+deb2");
}

#[test]
fn nothing_older_than_the_pinned_release_is_taken_for_an_update() {
    let (archive, lock, inputs) = archive();
    archive.publish(SUITE, "Fri, 10 Jul 2026 10:00:00 UTC", UPDATES, None);
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(version(&plan, "redis-server"), "7.0");
    assert!(
        plan.warnings
            .join(" ")
            .contains("is known: the mirror lags"),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn where_nothing_can_be_kept_images_are_made_of_what_is_known() {
    let (archive, lock, inputs) = archive();
    let first = resolve(&inputs, &lock, Versions::Current);
    age(&inputs, Duration::from_secs(48 * 3600));
    // Root may write whatever the mode says: a directory cannot be opened for writing by anybody.
    let lock_file = inputs.downloads.root().join("lock");
    fs::remove_file(&lock_file).expect("removed");
    fs::create_dir(&lock_file).expect("made");
    let plan = resolve(&inputs, &lock, Versions::Current);
    assert_eq!(plan.packages, first.packages);
    assert!(
        plan.warnings
            .join(" ")
            .contains(&format!("those of {FIRST}: "))
    );
    assert_eq!(asked(&archive), 1);
}

#[test]
fn files_of_an_index_that_is_not_the_last_are_removed() {
    let (archive, lock, inputs) = archive();
    resolve(&inputs, &lock, Versions::Current);
    let count = || {
        fs::read_dir(inputs.downloads.root().join("by-hash"))
            .expect("read")
            .count()
    };
    let before = count();
    archive.publish(SUITE, LATER, UPDATES, None);
    age(&inputs, Duration::from_secs(48 * 3600));
    resolve(&inputs, &lock, Versions::Current);
    assert_eq!(count(), before);
}
