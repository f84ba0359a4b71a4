// SPDX-License-Identifier: MIT OR Apache-2.0

//! The packages of `overlays.default` and of the flake.

use cki_tests::{checkout, flake};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::evaluator::{Evaluator, holds, output};

/// What nix/packages.nix and nix/fixtures.nix list is there, and what users ask for by name.
pub(crate) fn every_package_has_a_derivation(nix: &Evaluator) -> Result<(), Failed> {
    let derivations = &nix.packages()?["derivations"];
    let read = |file: &str| std::fs::read_to_string(checkout().dir.join(file));
    let text = ["nix/packages.nix", "nix/fixtures.nix"].map(read);
    let [packages, fixtures] = text.map(|text| text.map_err(|e| e.to_string()));
    let text = packages? + &fixtures?;
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

pub(crate) fn the_shell_has_what_the_packages_are_built_with(
    nix: &Evaluator,
) -> Result<(), Failed> {
    let facts = nix.packages()?;
    let path = facts["derivations"]["cki-shell"]
        .as_str()
        .unwrap_or_default();
    holds(path.ends_with("-cki-shell.drv"), path)?;
    let tools: Vec<_> = facts["shell"]
        .as_array()
        .ok_or("no tools")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // Its own, then those of kernel, module and emulator.
    for tool in [
        "cargo", "clippy", "git", "rustc", "rustfmt", "bison", "flex", "kmod", "meson", "ninja",
    ] {
        let is_it = |found: &&str| *found == tool || found.starts_with(&format!("{tool}-"));
        holds(tools.iter().any(is_it), (tool, &tools))?;
    }
    Ok(())
}

pub(crate) fn the_module_is_there_for_the_kernels_that_it_compiles_for(
    nix: &Evaluator,
) -> Result<(), Failed> {
    let facts = nix.packages()?;
    let modules = facts["modules"].as_object().ok_or("no modules")?;
    holds(modules.len() == 2, modules)?;
    for path in modules.values() {
        holds(
            path.as_str().is_some_and(|path| path.ends_with(".drv")),
            modules,
        )?;
    }
    let broken = facts["broken"].as_object().ok_or("no kernels")?;
    holds(broken.len() == 3, broken)?;
    for (version, is_broken) in broken {
        holds(*is_broken == (version != "6.12"), (version, is_broken))?;
    }
    Ok(())
}

pub(crate) fn the_kernel_is_nixpkgs_own_with_our_queue(nix: &Evaluator) -> Result<(), Failed> {
    let kernel = &nix.packages()?["kernel"];
    holds(kernel["ours"] == kernel["theirs"], kernel)?;
    holds(kernel["drivers"] == true && kernel["kept"] == true, kernel)?;
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

pub(crate) fn packages_say_what_they_are(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.packages()?;
    holds(facts["missing"] == serde_json::json!({}), &facts["missing"])?;
    holds(
        facts["programs"] == serde_json::json!({ "cki-build": "cki-build", "cki-launcher": "cki" }),
        &facts["programs"],
    )?;
    holds(facts["elsewhere"] == true, "aarch64 is not refused")
}

/// Also by Nix versions that look at every output for the name.
pub(crate) fn looking_for_a_package_fetches_no_nixpkgs(nix: &Evaluator) -> Result<(), Failed> {
    let flake = flake(&checkout());
    let flake = flake.as_str();
    let shown = output(&mut nix.nix(&["flake", "show", "--json", flake]))?;
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
pub(crate) fn the_flake_takes_another_nixpkgs(nix: &Evaluator) -> Result<(), Failed> {
    let flake = flake(&checkout());
    let flake = flake.as_str();
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
    let shown = output(nix.nix(&arguments).args([input.as_str(), flake]))?;
    let shown: Value = serde_json::from_slice(&shown.stdout).map_err(|error| error.to_string())?;
    let legacy = &shown["legacyPackages"]["x86_64-linux"];
    holds(
        legacy["cki-launcher"]["type"] == "derivation"
            && legacy["linux_cki"]["type"] == "derivation",
        legacy,
    )
}

/// What is run by whoever has a cache of nixpkgs' (nix/nixos/test.nix).
pub(crate) fn the_virtual_machine_test_has_a_derivation(nix: &Evaluator) -> Result<(), Failed> {
    let facts = nix.value("tests/nixos/virtual-machine.nix")?;
    let path = facts["test"].as_str().unwrap_or_default();
    holds(path.ends_with("-vm-test-run-cki-host.drv"), &facts)?;
    holds(facts["ofThePackage"] == facts["test"], &facts)
}

/// With packages of whoever calls it, whose nixpkgs knows nothing of us.
pub(crate) fn the_library_makes_an_image_of_packages(nix: &Evaluator) -> Result<(), Failed> {
    let attr = format!("{}#lib.mkContainerImage", flake(&checkout()).as_str());
    let mut command = nix.nix(&["eval", "--raw", "--impure", &attr, "--apply"]);
    command
        .arg(
            "f: let pkgs = import (builtins.getEnv \"CKI_NIXPKGS\") { system = \"x86_64-linux\"; }; \
             in (f pkgs { name = \"hello\"; packages = [ pkgs.hello ]; }).drvPath",
        )
        .env("CKI_NIXPKGS", &nix.nixpkgs);
    let made = output(&mut command)?;
    let path = String::from_utf8_lossy(&made.stdout);
    holds(path.ends_with("-cki-hello.erofs.drv"), path)
}
