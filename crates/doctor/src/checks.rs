// SPDX-License-Identifier: MIT OR Apache-2.0

//! The single checks. Each looks at one thing, changes nothing, and never fails: not knowing is a finding too.

use std::path::Path;

use super::Finding;
use cki_nix::Nix;
use cki_nix::checkout::{Checkout, CheckoutError, GitState};
use cki_nix::settings::{Situation, daemon_refuses};
use cki_nix::setup;
use cki_process::exec::{Command, ExecError};
use cki_wording::units::human_bytes;

/// Free bytes that a build from nothing needs: the store grows to about 12 GiB, build trees come on top.
const NEEDED_SPACE: u64 = 20 << 30;

/// Free bytes below which even a warm run may fail.
const LEAST_SPACE: u64 = 1 << 30;

/// What frees space of the store.
const COLLECT: &str = "nix-store --gc removes what no result needs";

/// What frees space of the cache, or does without it.
const PRUNE: &str = "`cki-build prune` removes images that nobody has used for a month, and --cache DIR \
    names another directory";

/// Keyring that signatures of the archive are checked with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Whether Nix is there, and which.
#[must_use]
pub fn nix(nix: &Nix) -> Finding {
    match nix.version().read_text() {
        Ok(version) => Finding::ok("nix", version),
        Err(_) => Finding::missing(
            "nix",
            "not installed (as root on Debian, `run` and `build` install it)",
            setup::remedy(),
        ),
    }
}

/// Whether the settings in force allow what we do.
#[must_use]
pub fn settings(nix: &Nix) -> Finding {
    const NAME: &str = "nix settings";
    let read = || Ok((nix.show_config().read()?, nix.show_machine_config().read()?));
    let judged = read().map(|(ours, machine): (Vec<u8>, Vec<u8>)| {
        let daemon = Situation::current().uses_daemon() && !rustix::process::geteuid().is_root();
        judge_settings(&ours, daemon.then_some(&machine))
    });
    judged.unwrap_or_else(|error: ExecError| {
        Finding::missing(NAME, in_a_line(&error), "repair nix.conf or NIX_CONFIG")
    })
}

/// `ours` are the settings of our commands, `daemon` those of a daemon that may not take ours from this user.
fn judge_settings(ours: &[u8], daemon: Option<&[u8]>) -> Finding {
    const NAME: &str = "nix settings";
    let parse = |json| serde_json::from_slice::<serde_json::Value>(json).unwrap_or_default();
    let (ours, daemon) = (parse(ours), daemon.map(parse));
    let value = |key: &str| &ours[key]["value"];
    let features = value("experimental-features").to_string();
    // Features are names or, in older versions of Nix, numbers; the commands tell what they allow.
    if features.contains("[]") {
        return Finding::missing(
            NAME,
            "flakes are off",
            "take experimental-features out of NIX_CONFIG",
        );
    }
    if let Some(daemon) = daemon.map(|settings| settings["sandbox"]["value"].clone()) {
        if daemon == false || daemon == "false" {
            return Finding::missing(
                NAME,
                "the machine's nix.conf says `sandbox = false`, and our builds need it",
                "say `sandbox = true` in /etc/nix/nix.conf, then restart the daemon (systemctl restart nix-daemon)",
            );
        }
    }
    // A word in some versions of Nix, as there is a third value, "relaxed".
    match value("sandbox") {
        v if v == "true" || v == &serde_json::json!(true) => {
            Finding::ok(NAME, "flakes on, sandbox on")
        }
        v if v.is_null() => Finding::ok(NAME, "flakes on"),
        other => Finding::note(
            NAME,
            format!("flakes on, sandbox {other}: builds could see this machine"),
            "take `sandbox` out of nix.conf and NIX_CONFIG",
        ),
    }
}

/// What a command of Nix said last, without the command: its words are settings of ours, of several lines.
fn in_a_line(error: &ExecError) -> String {
    match error {
        ExecError::Failed { how, stderr, .. } => match stderr.trim().lines().last() {
            Some(line) => line.trim().trim_start_matches("error: ").to_owned(),
            None => format!("it {how}"),
        },
        ExecError::Spawn { .. } => error.to_string(),
    }
}

/// Whether the store answers and can be written.
#[must_use]
pub fn store(nix: &Nix) -> Finding {
    const NAME: &str = "nix store";
    if let Err(error) = nix.ping_store().read() {
        let detail = daemon_refuses().unwrap_or_else(|| in_a_line(&error));
        return Finding::missing(NAME, detail, setup::Situation::current().remedy());
    }
    let dir = &nix.store;
    let writable = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    if Situation::current().uses_daemon() {
        Finding::ok(NAME, format!("{} (by the daemon)", dir.display()))
    } else if writable {
        Finding::ok(NAME, dir.display().to_string())
    } else if !dir.exists() && rustix::process::geteuid().is_root() {
        Finding::ok(NAME, format!("{} (made by the first build)", dir.display()))
    } else {
        Finding::missing(
            NAME,
            format!("this user cannot write {}", dir.display()),
            setup::Situation::current().remedy(),
        )
    }
}

/// Whether git is there, which Nix reads the checkout with.
#[must_use]
pub fn git() -> Finding {
    match Command::new("git").arg("--version").read_text() {
        Ok(version) => Finding::ok("git", version),
        Err(_) => {
            let remedy = setup::Situation::current().to_install("git", "git");
            Finding::missing("git", "not installed", remedy)
        }
    }
}

/// Whether the archive's signatures can be checked.
#[must_use]
pub fn keyring() -> Finding {
    const NAME: &str = "archive keys";
    let gpgv = Command::new("gpgv").arg("--version").output();
    let gpgv = gpgv.is_ok_and(|output| output.status.success());
    match (gpgv, Path::new(KEYRING).exists()) {
        (true, true) => Finding::ok(NAME, format!("gpgv and {KEYRING}")),
        (gpgv, _) => Finding::note(
            NAME,
            format!(
                "{} missing: packages that are not pinned yet cannot be resolved",
                if gpgv { KEYRING } else { "gpgv is" }
            ),
            setup::Situation::current().to_install("gpgv debian-archive-keyring", "gnupg"),
        ),
    }
}

/// Free space for the store and the cache.
#[must_use]
pub fn space(store: &Path, cache: &Path) -> Vec<Finding> {
    [
        ("space for the store", store, COLLECT),
        ("space for the cache", cache, PRUNE),
    ]
    .into_iter()
    .map(|(name, path, frees)| {
        // The directory itself may not have been made yet.
        let existing = path.ancestors().find(|dir| dir.exists()).unwrap_or(path);
        match rustix::fs::statvfs(existing) {
            Ok(stat) => judge_space(name, path, stat.f_bavail * stat.f_frsize, frees),
            Err(error) => {
                Finding::note(name, format!("{}: {error}", path.display()), "look into it")
            }
        }
    })
    .collect()
}

/// `frees` says what makes room there.
fn judge_space(name: &'static str, path: &Path, free: u64, frees: &str) -> Finding {
    let detail = format!("{} free at {}", human_bytes(free), path.display());
    let remedy = format!(
        "free some: a build from nothing needs {}; {frees}",
        human_bytes(NEEDED_SPACE)
    );
    if free < LEAST_SPACE {
        Finding::missing(name, detail, remedy)
    } else if free < NEEDED_SPACE {
        Finding::note(name, detail, remedy)
    } else {
        Finding::ok(name, detail)
    }
}

/// KVM, because people look for it.
#[must_use]
pub fn kvm() -> Finding {
    let there = if Path::new("/dev/kvm").exists() {
        "there"
    } else {
        "not there"
    };
    Finding::ok(
        "kvm",
        format!("{there}, and not used: the machine is emulated"),
    )
}

/// Whether this is a checkout, and in what state.
#[must_use]
pub fn checkout(found: &Result<Checkout, CheckoutError>) -> Finding {
    const NAME: &str = "checkout";
    let checkout = match found {
        Ok(checkout) => checkout,
        Err(CheckoutError::Unsafe { dir }) => {
            let dir = dir.to_string_lossy();
            // Somebody else has named it, and this is to be pasted into a shell.
            let words = ["config", "--global", "--add", "safe.directory", &dir];
            let trust = Command::new("git").args(words);
            return Finding::missing(
                NAME,
                format!("git refuses {dir} because another user owns it"),
                trust.to_string(),
            );
        }
        Err(error) => {
            return Finding::missing(
                NAME,
                error.to_string(),
                "go to a CKI checkout, or name it with --flake DIR",
            );
        }
    };
    match checkout.state() {
        Ok(Some(state)) => judge_checkout(&checkout.dir, &state),
        Ok(None) => Finding::note(
            NAME,
            format!(
                "{} is not managed by git: every run evaluates the flake anew",
                checkout.dir.display()
            ),
            "git clone it",
        ),
        Err(error) => Finding::missing(NAME, error.to_string(), "repair the git repository"),
    }
}

fn judge_checkout(dir: &Path, state: &GitState) -> Finding {
    const NAME: &str = "checkout";
    let head = state
        .head
        .as_deref()
        .map_or("no commit", |head| head.get(..12).unwrap_or(head));
    let mut detail = format!("{} at {head}", dir.display());
    if state.shallow {
        detail.push_str(", shallow (which is fine for cki-build)");
    }
    if state.dirty {
        detail.push_str(", with changes (which are built)");
    }
    let unseen: Vec<_> = state
        .untracked
        .iter()
        .filter(|path| !path.ends_with(".md"))
        .map(String::as_str)
        .collect();
    if unseen.is_empty() {
        Finding::ok(NAME, detail)
    } else {
        let shown = unseen.iter().take(5).copied().collect::<Vec<_>>().join(" ");
        let more = unseen.len().saturating_sub(5);
        let detail = format!(
            "{detail}; Nix does not see {} untracked files",
            unseen.len()
        );
        let more = if more > 0 {
            format!(" (and {more} more)")
        } else {
            String::new()
        };
        Finding::note(
            NAME,
            detail,
            format!("if the build needs them: git add {shown}{more}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_sandbox_that_is_off_is_noted_and_flakes_that_are_off_are_missing() {
        let judge = |json: &str| judge_settings(json.as_bytes(), None).severity;
        let config = |features: &str, sandbox: &str| {
            format!(
                r#"{{"experimental-features":{{"value":{features}}},"sandbox":{{"value":{sandbox}}}}}"#
            )
        };
        assert_eq!(judge(&config("[1,2]", "true")), Severity::Ok);
        assert_eq!(judge(&config("[\"flakes\"]", "\"true\"")), Severity::Ok);
        assert_eq!(judge(&config("[1,2]", "false")), Severity::Note);
        assert_eq!(judge(&config("[]", "true")), Severity::Missing);
        // What a daemon has from nix.conf counts where it does not take the user's word.
        let ours = config("[1,2]", "true");
        let beside = |sandbox: &str| {
            let machine = config("[]", sandbox);
            judge_settings(ours.as_bytes(), Some(machine.as_bytes()))
        };
        for off in ["false", "\"false\""] {
            let finding = beside(off);
            assert_eq!(finding.severity, Severity::Missing);
            assert!(finding.remedy.expect("a remedy").contains("sandbox = true"));
        }
        assert_eq!(beside("\"true\"").severity, Severity::Ok);
    }

    #[test]
    fn space_is_judged_by_what_a_build_needs() {
        let judge = |free| judge_space("space", Path::new("/"), free, COLLECT).severity;
        assert_eq!(judge(100 << 30), Severity::Ok);
        assert_eq!(judge(5 << 30), Severity::Note);
        assert_eq!(judge(1 << 20), Severity::Missing);
    }

    #[test]
    fn what_frees_the_cache_is_another_thing_than_what_frees_the_store() {
        for (name, dir, frees) in [("store", "/nix/store", COLLECT), ("cache", "/c", PRUNE)] {
            let finding = judge_space(name, Path::new(dir), 0, frees);
            let remedy = finding.remedy.expect("a remedy");
            assert!(remedy.ends_with(frees), "{remedy}");
        }
        assert!(PRUNE.contains("--cache DIR") && !PRUNE.contains("--gc"));
    }

    #[test]
    fn untracked_files_are_noted_and_changes_are_not() {
        let state = |dirty, untracked: &[&str]| GitState {
            head: Some("0123456789abcdef".into()),
            dirty,
            shallow: true,
            untracked: untracked.iter().map(|&s| s.to_owned()).collect(),
        };
        let judge = |state| judge_checkout(Path::new("/x"), &state);
        let finding = judge(state(true, &["notes.md"]));
        assert_eq!(finding.severity, Severity::Ok);
        assert!(finding.detail.contains("shallow") && finding.detail.contains("0123456789ab,"));
        let finding = judge(state(false, &["nix/new.nix"]));
        assert_eq!(finding.severity, Severity::Note);
        assert!(
            finding
                .remedy
                .expect("a remedy")
                .ends_with("git add nix/new.nix")
        );
    }

    #[test]
    fn no_checkout_is_missing() {
        let error = Err(CheckoutError::NotFound("/x".into()));
        assert_eq!(checkout(&error).severity, Severity::Missing);
    }

    #[test]
    fn the_remedy_for_another_users_checkout_is_gits() {
        let finding = checkout(&Err(CheckoutError::Unsafe { dir: "/x".into() }));
        assert_eq!(finding.severity, Severity::Missing);
        assert_eq!(
            finding.remedy.as_deref(),
            Some("git config --global --add safe.directory /x")
        );
        // Somebody else has chosen the name, and the line is to be pasted.
        let dir = "/tmp/x;reboot".into();
        let finding = checkout(&Err(CheckoutError::Unsafe { dir }));
        let remedy = finding.remedy.unwrap_or_default();
        assert!(
            remedy.ends_with("safe.directory '/tmp/x;reboot'"),
            "{remedy}"
        );
    }

    #[test]
    fn a_command_that_failed_is_one_line_without_its_words() {
        let failed = |stderr: &str| {
            in_a_line(&ExecError::Failed {
                command: "'NIX_CONFIG=substituters =\nsandbox = true' nix store ping".to_owned(),
                how: "ended with status 1".to_owned(),
                stderr: stderr.to_owned(),
            })
        };
        let said = "warning: old\nerror: cannot connect to socket at '/s': Permission denied\n";
        assert_eq!(
            failed(said),
            "cannot connect to socket at '/s': Permission denied"
        );
        assert_eq!(failed(""), "it ended with status 1");
    }
}
