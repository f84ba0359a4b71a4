// SPDX-License-Identifier: MIT OR Apache-2.0

//! `overlays.default` against a stand-in for nixpkgs (`tests/nixpkgs-stub`), and what the NixOS modules take for sizes
//! of memory: no network, nothing built.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use cki_nix::Nix;
use cki_process::exec::Command;
use cki_session::Memory;
use cki_tests::checkout;
use serde_json::Value;

/// Evaluates `attribute` of the stub in the checkout at `dir`.
fn evaluate(dir: &Path, attribute: &str) -> Output {
    Nix::current()
        .with_env(Command::new("nix-instantiate"))
        .args(["--eval", "--strict", "--json", "--attr", attribute])
        .arg(dir.join("tests/nixpkgs-stub"))
        .output()
        .expect("nix-instantiate is started")
}

/// What nix/packages.nix and nix/fixtures.nix list.
fn packages(dir: &Path) -> Vec<String> {
    let output = evaluate(dir, "listed");
    let listed: BTreeMap<String, String> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error(&output)));
    listed.into_keys().collect()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The error of `cki-ksm` after a change to its package file.
fn error_after(from: &str, to: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = checkout().copy_to(dir.path()).expect("copied").dir;
    let file = copy.join("ksm/package.nix");
    let text = std::fs::read_to_string(&file).expect("read");
    assert!(text.contains(from), "{from:?} is in the package file");
    std::fs::write(&file, text.replacen(from, to, 1)).expect("written");
    let output = evaluate(&copy, "ckiPackages.cki-ksm.drvPath");
    assert!(!output.status.success(), "it evaluates");
    error(&output)
}

#[test]
fn every_package_evaluates_with_nixpkgs_names() {
    let dir = checkout().dir;
    let mut packages = packages(&dir);
    // The overlay's own, beside them.
    packages.push("cki-shell".to_owned());
    assert!(packages.iter().any(|name| name == "cki-kernel"));
    let errors: Vec<String> = packages
        .iter()
        .map(|name| (name, evaluate(&dir, &format!("ckiPackages.{name}.drvPath"))))
        .filter(|(_, output)| !output.status.success())
        .map(|(name, output)| format!("{name}: {}", error(&output)))
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn an_argument_that_nixpkgs_does_not_have_is_named() {
    let message = error_after("{ lib\n", "{ lib\n, no-such-tool\n");
    assert!(message.contains("asks for no-such-tool"), "{message}");
}

#[test]
fn a_function_that_lib_does_not_have_is_an_error() {
    let message = error_after("lib.licenses", "lib.noSuchFunction");
    assert!(message.contains("noSuchFunction"), "{message}");
}

/// `cki` and the NixOS modules have a parser of sizes each; `tests/nixos/sizes.json` says what both make of a text,
/// and why where that is not the same.
#[test]
fn a_size_is_as_large_for_the_nixos_modules_as_for_cki() {
    let dir = checkout().dir;
    let output = Nix::current()
        .with_env(Command::new("nix-instantiate"))
        .args(["--eval", "--strict", "--json", "--arg", "nixpkgs", "null"])
        .arg(dir.join("tests/nixos/sizes.nix"))
        .output()
        .expect("nix-instantiate is started");
    let of_modules: Vec<Option<u32>> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error(&output)));
    let text = std::fs::read_to_string(dir.join("tests/nixos/sizes.json")).expect("the sizes");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("a list");
    assert!(cases.len() > 40 && cases.len() == of_modules.len());
    for (case, of_module) in cases.iter().zip(of_modules) {
        let text = case["text"].as_str().expect("a text");
        let of_cki = text.parse::<Memory>().ok().map(Memory::mib);
        let told = (Value::from(of_cki), Value::from(of_module));
        let [cki, module] = match case.get("why") {
            Some(_) => [&case["cki"], &case["module"]],
            None => [&case["mib"]; 2],
        };
        assert_eq!(told, (cki.clone(), module.clone()), "{text:?}");
    }
}
