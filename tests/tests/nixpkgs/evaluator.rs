// SPDX-License-Identifier: MIT OR Apache-2.0

//! Evaluation with the user's nixpkgs and Nix.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use cki_tests::checkout;
use libtest_mimic::Failed;
use serde_json::Value;
use tempfile::TempDir;

/// A Nix with a store of its own, and a nixpkgs.
pub(crate) struct Evaluator {
    nix: PathBuf,
    pub(crate) nixpkgs: PathBuf,
    store: TempDir,
    packages: OnceLock<Result<Value, String>>,
    configurations: OnceLock<Result<Value, String>>,
    files: OnceLock<Result<Value, String>>,
}

impl Evaluator {
    /// What the environment names, if it does.
    pub(crate) fn new() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Some(Evaluator {
            nix: variable("CKI_NIX")?.into(),
            nixpkgs: variable("CKI_NIXPKGS")?.into(),
            store: TempDir::new().expect("a directory"),
            packages: OnceLock::new(),
            configurations: OnceLock::new(),
            files: OnceLock::new(),
        })
    }

    /// A command of Nix's.
    pub(crate) fn nix(&self, args: &[&str]) -> Command {
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

    /// The value of a file, a function of nixpkgs.
    pub(crate) fn value(&self, file: &str) -> Result<Value, String> {
        let mut command = self.nix(&["eval", "--json", "--impure", "--file"]);
        command
            .arg(checkout().dir.join(file))
            .args([
                "--apply",
                "f: f { nixpkgs = builtins.getEnv \"CKI_NIXPKGS\"; }",
            ])
            .env("CKI_NIXPKGS", &self.nixpkgs);
        let output = output(&mut command)?;
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// What tests/nixos/packages.nix says.
    pub(crate) fn packages(&self) -> Result<&Value, Failed> {
        self.once(&self.packages, "tests/nixos/packages.nix")
    }

    /// What tests/nixos/configurations.nix says.
    pub(crate) fn configurations(&self) -> Result<&Value, Failed> {
        self.once(&self.configurations, "tests/nixos/configurations.nix")
    }

    /// What tests/nixos/files.nix says.
    pub(crate) fn files(&self) -> Result<&Value, Failed> {
        self.once(&self.files, "tests/nixos/files.nix")
    }

    fn once<'a>(
        &self,
        cell: &'a OnceLock<Result<Value, String>>,
        file: &str,
    ) -> Result<&'a Value, Failed> {
        let value = cell.get_or_init(|| self.value(file));
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
pub(crate) fn output(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}\n{told}"))
}

/// What has to be so; `told` is what is so otherwise.
pub(crate) fn holds(condition: bool, told: impl std::fmt::Debug) -> Result<(), Failed> {
    match condition {
        true => Ok(()),
        false => Err(format!("{told:#?}").into()),
    }
}
