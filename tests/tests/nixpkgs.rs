// SPDX-License-Identifier: MIT OR Apache-2.0

//! `overlays.default` and the flake with a complete nixpkgs, evaluated and never built.
//!
//! `CKI_NIXPKGS` is a directory with nixpkgs (26.11 is what this was written for), `CKI_NIX` the program `nix`, 2.18 or
//! newer. Without both, every test is skipped, which is said and counted.

// What the harness does not run as a test: what is printed is for the reader of its log.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::sync::{Arc, OnceLock};

use cki_tests::{checkout, long};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

/// A Nix with a store of its own, and a nixpkgs.
struct Evaluator {
    nix: PathBuf,
    nixpkgs: PathBuf,
    store: TempDir,
    /// What tests/nixos/packages.nix says.
    packages: OnceLock<Result<Value, String>>,
}

impl Evaluator {
    /// What the environment names, if it does.
    fn new() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Some(Evaluator {
            nix: variable("CKI_NIX")?.into(),
            nixpkgs: variable("CKI_NIXPKGS")?.into(),
            store: TempDir::new().expect("a directory"),
            packages: OnceLock::new(),
        })
    }

    fn nix(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.nix);
        command
            .args(["--extra-experimental-features", "nix-command flakes"])
            .arg("--store")
            .arg(self.store.path().join("root"))
            .args(args)
            .env("HOME", self.store.path())
            // A proxy that is not there, so that any download fails.
            .env("https_proxy", "http://127.0.0.1:9")
            .env("http_proxy", "http://127.0.0.1:9");
        command
    }

    /// The value of a file of `tests/nixos`, a function of nixpkgs.
    fn value(&self, file: &str) -> Result<Value, String> {
        let path = checkout().dir.join("tests/nixos").join(file);
        let mut command = self.nix(&["eval", "--json", "--impure", "--file"]);
        command
            .arg(path)
            .args([
                "--apply",
                "f: f { nixpkgs = builtins.getEnv \"CKI_NIXPKGS\"; }",
            ])
            .env("CKI_NIXPKGS", &self.nixpkgs);
        let output = output(&mut command)?;
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    fn packages(&self) -> Result<&Value, Failed> {
        let value = self.packages.get_or_init(|| self.value("packages.nix"));
        value.as_ref().map_err(Failed::from)
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // Stores are read-only.
        let _ = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(self.store.path())
            .status();
    }
}

/// What `command` gives, or what it complains of.
fn output(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// What the facts have to say; `told` is what they say otherwise.
fn holds(condition: bool, told: impl std::fmt::Debug) -> Result<(), Failed> {
    match condition {
        true => Ok(()),
        false => Err(format!("{told:#?}").into()),
    }
}

/// What nix/packages.nix lists is there, and what users ask for by name.
fn every_package_has_a_derivation(nix: &Evaluator) -> Result<(), Failed> {
    let derivations = &nix.packages()?["derivations"];
    let text = std::fs::read_to_string(checkout().dir.join("nix/packages.nix"))
        .map_err(|e| e.to_string())?;
    let listed: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once(" = callPackage "))
        .map(|(name, _)| name)
        .chain(["linux_cki", "cki-guest-kernel"])
        .collect();
    holds(listed.len() > 25, &listed)?;
    for name in listed {
        let path = derivations[name].as_str().unwrap_or_default();
        holds(path.ends_with(".drv"), (name, &derivations[name]))?;
    }
    Ok(())
}

fn the_module_is_there_for_kernels_from_6_12_on(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.packages()?;
    let modules = facts["modules"].as_object().ok_or("no modules")?;
    holds(modules.len() == 4, modules)?;
    holds(
        modules
            .values()
            .all(|path| path.as_str().is_some_and(|path| path.ends_with(".drv"))),
        modules,
    )?;
    holds(
        facts["tooOld"] == true,
        "the module is not said to be broken with 6.6",
    )
}

fn the_kernel_is_nixpkgs_own_with_our_queue(nix: &Evaluator) -> Result<(), Failed> {
    let kernel = &nix.packages()?["kernel"];
    holds(kernel["ours"] == kernel["theirs"], kernel)?;
    holds(kernel["drivers"] == true, kernel)?;
    holds(kernel["fiveLevels"] == "n", kernel)?;
    let patches: Vec<_> = kernel["patches"]
        .as_array()
        .ok_or("no patches")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut queue: Vec<_> = std::fs::read_dir(checkout().dir.join("kernel/patches"))
        .map_err(|error| error.to_string())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".patch"))
        .collect();
    queue.sort();
    holds(
        !queue.is_empty()
            && patches.ends_with(&queue.iter().map(String::as_str).collect::<Vec<_>>()),
        &patches,
    )?;
    holds(patches.contains(&"cki-files"), &patches)
}

fn packages_say_what_they_are(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.packages()?;
    holds(facts["missing"] == serde_json::json!({}), &facts["missing"])?;
    holds(
        facts["programs"] == serde_json::json!({ "cki-build": "cki-build", "cki-launcher": "cki" }),
        &facts["programs"],
    )?;
    holds(facts["elsewhere"] == true, "aarch64 is not refused")
}

/// Also by Nix versions that look at every output for the name.
fn looking_for_a_package_fetches_no_nixpkgs(nix: &Evaluator) -> Result<(), Failed> {
    let flake = checkout().flake_ref();
    let shown = output(&mut nix.nix(&["flake", "show", "--json", &flake]))?;
    let shown: Value = serde_json::from_slice(&shown.stdout).map_err(|error| error.to_string())?;
    holds(
        shown["packages"]["x86_64-linux"]["cki-launcher"]["type"] == "derivation",
        &shown["packages"],
    )?;
    // It says on standard error what it would build.
    let build = output(&mut nix.nix(&["build", "--dry-run", &format!("{flake}#cki-launcher")]))?;
    let told = String::from_utf8_lossy(&build.stderr);
    holds(told.contains("-cki-launcher-0.1.0.drv"), told)
}

/// The same by the flake, with the user's nixpkgs in the place of the locked one.
fn the_flake_takes_another_nixpkgs(nix: &Evaluator) -> Result<(), Failed> {
    let flake = checkout().flake_ref();
    let input = format!("path:{}", nix.nixpkgs.display());
    let arguments = [
        "flake",
        "show",
        "--json",
        "--legacy",
        "--no-write-lock-file",
        "--override-input",
        "nixpkgs",
    ];
    let shown = output(nix.nix(&arguments).args([&input, &flake]))?;
    let shown: Value = serde_json::from_slice(&shown.stdout).map_err(|error| error.to_string())?;
    let legacy = &shown["legacyPackages"]["x86_64-linux"];
    holds(
        legacy["cki-launcher"]["type"] == "derivation"
            && legacy["linux_cki"]["type"] == "derivation",
        legacy,
    )
}

type Test = fn(&Evaluator) -> Result<(), Failed>;

fn main() -> ExitCode {
    let tests: [(&str, Test, bool); 6] = [
        (
            "every_package_has_a_derivation",
            every_package_has_a_derivation,
            false,
        ),
        (
            "the_module_is_there_for_kernels_from_6_12_on",
            the_module_is_there_for_kernels_from_6_12_on,
            false,
        ),
        (
            "the_kernel_is_nixpkgs_own_with_our_queue",
            the_kernel_is_nixpkgs_own_with_our_queue,
            false,
        ),
        (
            "packages_say_what_they_are",
            packages_say_what_they_are,
            false,
        ),
        (
            "looking_for_a_package_fetches_no_nixpkgs",
            looking_for_a_package_fetches_no_nixpkgs,
            false,
        ),
        // Nixpkgs is copied into the store for it.
        (
            "the_flake_takes_another_nixpkgs",
            the_flake_takes_another_nixpkgs,
            true,
        ),
    ];
    let mut arguments = Arguments::from_args();
    let evaluator = Evaluator::new().map(Arc::new);
    if evaluator.is_none() {
        println!(
            "skipped: tests with nixpkgs (CKI_NIXPKGS is to be a directory with it, CKI_NIX a nix from 2.18 on)"
        );
        // Not even by --include-ignored.
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    let trials = tests.into_iter().map(|(name, test, is_long)| {
        let (nix, left_out) = (evaluator.clone(), evaluator.is_none() || is_long && !long());
        let run = move || {
            nix.as_deref()
                .map_or_else(|| Err("no nixpkgs".into()), test)
        };
        Trial::test(name, run).with_ignored_flag(left_out)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
