// SPDX-License-Identifier: MIT OR Apache-2.0

//! shellcheck has nothing to warn of in any shell script. Where it is not installed (Debian's package is called so),
//! the test is left out, and counted so.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use cki_house::{root, tracked};
use libtest_mimic::{Arguments, Failed, Trial};

/// What it need not tell, of no script.
const QUIET: &[(&str, &str)] = &[
    (
        "SC1090",
        "what is read in (`. \"$common\"`) is a file that Nix names",
    ),
    ("SC1091", "the same"),
    ("SC2154", "variables of a builder come from its derivation"),
    (
        "SC2164",
        "a builder ends with the first command that fails, a `cd` too",
    ),
];

/// What it need not tell of one.
const LISTED: &[(&str, &str, &str)] = &[
    (
        "kernel/series.sh",
        "SC2206",
        "addresses of mails have no blanks, and are split at them",
    ),
    (
        "nix/debian/enter-shell.sh",
        "SC1008",
        "Nix puts the shell's path into its first line",
    ),
    ("nix/debian/enter-shell.sh", "SC2239", "the same"),
    (
        "nix/debian/enter.sh",
        "SC2123",
        "the directories of commands are what it is to set",
    ),
    (
        "nix/debian/root.sh",
        "SC2115",
        "it ends where $out is not set, by `set -u`",
    ),
];

/// Scripts that busybox reads; all others without a first line of their own are bash's, which Nix builds with.
const BUSYBOX: &[&str] = &[
    "images/system/init.sh",
    "nix/debian/enter-shell.sh",
    "nix/debian/root.sh",
];

fn main() {
    let version = Command::new("shellcheck").arg("--version").output();
    let absent = version.is_err();
    let name = match absent {
        true => "shellcheck_has_nothing_to_warn_of (not installed)",
        false => "shellcheck_has_nothing_to_warn_of",
    };
    let trials = vec![
        Trial::test(name, check).with_ignored_flag(absent),
        Trial::test("it_is_asked_about_all_scripts", || {
            let scripts = scripts();
            for one in [
                ".ci/run",
                ".githooks/pre-commit",
                "images/app/packages.sh",
                "images/system/root/usr/lib/cki/slot",
            ] {
                assert!(scripts.contains(one), "{one}");
            }
            let named = LISTED.iter().map(|(path, ..)| path).chain(BUSYBOX);
            let gone: Vec<_> = named.filter(|path| !scripts.contains(**path)).collect();
            assert!(gone.is_empty(), "{gone:?}");
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn first_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(root().join(path)).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Files that say so by their name or in their first line.
fn scripts() -> BTreeSet<String> {
    let is_script = |path: &String| {
        path.ends_with(".sh")
            || first_line(path).is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"))
    };
    tracked().into_iter().filter(is_script).collect()
}

fn dialect(path: &str) -> &'static str {
    let line = first_line(path).unwrap_or_default();
    match BUSYBOX.contains(&path) || line == "#!/bin/sh" {
        true => "dash",
        false => "bash",
    }
}

fn check() -> Result<(), Failed> {
    let mut told = String::new();
    for path in scripts() {
        let listed = LISTED.iter().filter(|(name, ..)| *name == path);
        let codes = QUIET.iter().map(|(code, _)| *code);
        let codes: Vec<_> = codes.chain(listed.map(|(_, code, _)| *code)).collect();
        let output = Command::new("shellcheck")
            .current_dir(root())
            .args(["--norc", "--format=gcc", "--severity=warning"])
            .arg(format!("--shell={}", dialect(&path)))
            .arg(format!("--exclude={}", codes.join(",")))
            .arg("--")
            .arg(&path)
            .output()?;
        told += &String::from_utf8_lossy(&output.stdout);
        if !output.status.success() && output.stdout.is_empty() {
            told += &format!("{path}: {}\n", String::from_utf8_lossy(&output.stderr));
        }
    }
    match told.is_empty() {
        true => Ok(()),
        false => Err(told.into()),
    }
}
