// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is signed is not therefore new: release files that have expired, and those from before the pinned ones.

mod support;

use cki_inputs::InputsError;
use cki_inputs::lock_json::LockFile;
use cki_inputs::locking::{self, Mode};
use cki_nix::Nix;
use support::archive::{Archive, REQUEST, STABLE, request};

const LATER: &str = "Sat, 12 Sep 2026 10:00:00 UTC";
const EARLIER: &str = "Sat, 10 Jan 2026 10:00:00 UTC";

fn update(
    archive: &Archive,
    old: Option<&LockFile>,
    accept_expired: bool,
) -> Result<LockFile, InputsError> {
    let mut inputs = archive.inputs(Nix::current());
    inputs.accept_expired = accept_expired;
    locking::resolve(&inputs, &request(REQUEST), old, Mode::Update).map(|(lock, _)| lock)
}

#[test]
fn what_has_expired_is_refused_unless_it_is_asked_for() {
    let archive = Archive::first();
    let expired = format!("{LATER}\nValid-Until: Sun, 13 Sep 2026 10:00:00 UTC");
    archive.publish("stable", &expired, STABLE, None);
    let error = update(&archive, None, false).expect_err("it has expired");
    assert!(matches!(error, InputsError::Expired { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("Sun, 13 Sep 2026") && message.contains("--accept-expired"),
        "{message}"
    );
    let lock = update(&archive, None, true).expect("asked for");
    assert_eq!(lock.suites["stable"].date, LATER);
}

#[test]
fn a_clock_that_is_not_the_mirrors_is_named_before_the_mirror_is_blamed() {
    let archive = Archive::first();
    let expired = format!("{LATER}\nValid-Until: Sun, 13 Sep 2026 10:00:00 UTC");
    archive.publish("stable", &expired, STABLE, None);
    archive.server.tell_date("Sat, 12 Sep 2026 11:00:00 GMT");
    let error = update(&archive, None, false).expect_err("it has expired by our clock");
    assert!(matches!(error, InputsError::Clock { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("the mirror's Sat, 12 Sep 2026") && message.contains("see `date`"),
        "{message}"
    );
    // A mirror whose clock is ours cannot blame it.
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    archive.server.tell_date(&now);
    let error = update(&archive, None, false).expect_err("it has expired");
    assert!(matches!(error, InputsError::Expired { .. }), "{error}");
}

#[test]
fn a_clock_before_the_pinned_release_is_named_with_a_signature_that_it_makes_bad() {
    let archive = Archive::first();
    let mut pinned = update(&archive, None, false).expect("resolved");
    let future = "Sat, 12 Sep 2099 10:00:00 UTC";
    pinned.suites.get_mut("stable").expect("the suite").date = future.into();
    // As gpgv finds it when the keys are of a later day.
    let mut inputs = archive.inputs(Nix::current());
    let gpgv = archive.dir.path().join("later");
    let script = "#!/bin/sh\necho '[GNUPG:] ERRSIG 1 1 8 01 1 9' >&2\nexit 2\n";
    cki_process::files::write_program(&gpgv, script).expect("written");
    inputs.verifier = inputs.verifier.with_gpgv(&gpgv);
    let resolve = |old: &LockFile| {
        locking::resolve(&inputs, &request(REQUEST), Some(old), Mode::Update).expect_err("refused")
    };
    let error = resolve(&pinned);
    assert!(matches!(error, InputsError::Clock { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains(future) && message.contains("no good signature"),
        "{message}"
    );
    pinned.suites.get_mut("stable").expect("the suite").date = EARLIER.into();
    assert!(matches!(resolve(&pinned), InputsError::Release(_)));
}

#[test]
fn a_lock_never_goes_back() {
    let archive = Archive::first();
    archive.publish("stable", LATER, STABLE, None);
    let pinned = update(&archive, None, false).expect("resolved");
    archive.publish("stable", EARLIER, STABLE, None);
    for accept_expired in [false, true] {
        let error = update(&archive, Some(&pinned), accept_expired).expect_err("older");
        assert!(matches!(error, InputsError::GoesBack { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(LATER) && message.contains(EARLIER),
            "{message}"
        );
    }
    archive.publish("stable", LATER, STABLE, None);
    update(&archive, Some(&pinned), false).expect("the same state is not older");
}
