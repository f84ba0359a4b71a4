// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Nix commands that we run, as values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::settings::Situation;
use cki_process::exec::Command;

/// System whose outputs we build; CKI is for x86-64 alone.
pub const SYSTEM: &str = "x86_64-linux";

/// Where Nix's store is when nothing says otherwise.
const STORE: &str = "/nix/store";

/// How to call Nix, and where its store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nix {
    /// The program `nix-store`.
    pub nix_store: PathBuf,
    /// The store directory; store paths depend on it.
    pub store: PathBuf,
    /// Variables for each command, our settings (`NIX_CONFIG`) among them.
    pub env: BTreeMap<OsString, OsString>,
}

impl Nix {
    /// The `nix-store` in `PATH` and the usual store, with the settings that suit `situation`.
    #[must_use]
    pub fn new(situation: &Situation) -> Self {
        let mut env = BTreeMap::from([("NIX_CONFIG".into(), situation.nix_config().into())]);
        if let Some(remote) = situation.nix_remote() {
            env.insert("NIX_REMOTE".into(), remote.into());
        }
        Self {
            nix_store: "nix-store".into(),
            store: STORE.into(),
            env,
        }
    }

    /// Nix with the settings that suit this process, and the store that `NIX_STORE_DIR` names.
    #[must_use]
    pub fn current() -> Self {
        let nix = Self::new(&Situation::current());
        match std::env::var_os("NIX_STORE_DIR") {
            Some(store) => Self {
                store: store.into(),
                ..nix
            },
            None => nix,
        }
    }

    /// `command` with our settings and the other variables.
    #[must_use]
    pub fn with_env(&self, command: Command) -> Command {
        self.env
            .iter()
            .fold(command, |command, (key, value)| command.env(key, value))
    }

    /// `nix` with no arguments yet.
    #[must_use]
    pub fn nix(&self) -> Command {
        self.with_env(Command::new("nix"))
    }

    /// `nix-store` with no arguments yet.
    #[must_use]
    pub fn nix_store(&self) -> Command {
        self.with_env(Command::new(&self.nix_store))
    }

    fn logging(command: Command) -> Command {
        command.args(["--log-format", "internal-json"])
    }

    /// `nix --version`.
    #[must_use]
    pub fn version(&self) -> Command {
        self.nix().arg("--version")
    }

    /// The settings in force, as JSON.
    #[must_use]
    pub fn show_config(&self) -> Command {
        self.nix().args(["show-config", "--json"])
    }

    /// The settings that the machine's files make, without ours; a daemon has read the same files.
    #[must_use]
    pub fn show_machine_config(&self) -> Command {
        self.show_config()
            .env("NIX_CONFIG", super::settings::FEATURES)
    }

    /// Evaluates names, derivations and output paths of `attrs` (see [`super::eval`]), which are among the flake's
    /// packages or what tests are made with.
    ///
    /// Not `nix eval FLAKE#packages.SYSTEM`: Nix 2.8 first looks for that name below `legacyPackages`.
    #[must_use]
    pub fn eval_targets(&self, flake: &str, attrs: &[String]) -> Command {
        let outputs = format!(
            "let flake = {}; in flake.packages.{SYSTEM} // (flake.legacyPackages.{SYSTEM}.tests or {{ }})",
            super::eval::get_flake(flake)
        );
        self.eval_set(&outputs, attrs)
    }

    /// As [`Nix::eval_targets`], of an expression for a set that may use `builtins.getFlake`.
    #[must_use]
    pub fn eval_set(&self, expression: &str, attrs: &[String]) -> Command {
        self.eval(expression, &super::eval::targets_function(attrs))
    }

    /// Impure only in that `getFlake` may take a checkout instead of a locked reference.
    fn eval(&self, expression: &str, function: &str) -> Command {
        Self::logging(self.nix())
            .args(["eval", "--json", "--impure", "--expr"])
            .arg(expression)
            .arg("--apply")
            .arg(function)
    }

    /// Builds derivations; every output of each. `cores` is for each build; none leaves it to the settings.
    #[must_use]
    pub fn realise_drvs(&self, drvs: &[&Path], cores: Option<u32>) -> Command {
        let cores = cores.map(|cores| ["--cores".to_owned(), cores.to_string()]);
        Self::logging(self.nix_store())
            .arg("--realise")
            .args(cores.into_iter().flatten())
            .args(drvs.iter().map(|&drv| OsString::from(drv)))
    }

    /// Builds `drv` again beside its valid outputs and compares; differing ones are kept as `PATH.check`.
    #[must_use]
    pub fn check(&self, drv: &Path, cores: u32) -> Command {
        Self::logging(self.nix_store())
            .args(["--realise", "--check", "--keep-failed"])
            .args(["--cores".to_owned(), cores.to_string()])
            .arg(drv)
    }

    /// Makes `link` a root that keeps `path` from garbage collection.
    #[must_use]
    pub fn add_root(&self, link: &Path, path: &Path) -> Command {
        Self::logging(self.nix_store())
            .arg("--realise")
            .arg(path)
            .arg("--add-root")
            .arg(link)
    }

    /// Removes `path` from the store unless something needs it.
    #[must_use]
    pub fn delete_path(&self, path: &Path) -> Command {
        Self::logging(self.nix_store()).arg("--delete").arg(path)
    }

    /// Lists the derivations and sources that `drvs` are built from, themselves included.
    #[must_use]
    pub fn requisites(&self, drvs: &[&Path]) -> Command {
        self.nix_store()
            .args(["--query", "--requisites"])
            .args(drvs.iter().map(|&drv| OsString::from(drv)))
    }

    /// Lists the store path that `path` is in, leads to or is, and all that it needs.
    #[must_use]
    pub fn closure_of(&self, path: &Path) -> Command {
        Self::logging(self.nix_store())
            .args(["--query", "--requisites"])
            .arg(path)
    }

    /// Hashes of the contents of `paths`, one a line.
    #[must_use]
    pub fn hashes(&self, paths: &[PathBuf]) -> Command {
        Self::logging(self.nix_store())
            .args(["--query", "--hash"])
            .args(paths)
    }

    /// Shows derivations as JSON, with all that they are built from.
    #[must_use]
    pub fn show_derivations(&self, drvs: &[&Path]) -> Command {
        self.nix()
            .args(["show-derivation", "--recursive"])
            .args(drvs.iter().map(|&drv| OsString::from(drv)))
    }

    /// Copies `paths` with all that they need into a binary cache at `directory`, which must exist, signed by `key`.
    /// Neither may have a character in its path that a URL would need escapes for: Nix 2.8 does not decode them.
    #[must_use]
    pub fn copy_to_cache(&self, directory: &Path, key: &Path, paths: &[PathBuf]) -> Command {
        let cache = format!(
            "file://{}?compression=xz&secret-key={}",
            directory.display(),
            key.display()
        );
        Self::logging(self.nix())
            .args(["copy", "--to"])
            .arg(cache)
            .args(paths)
    }

    /// `nix flake check` of the flake.
    #[must_use]
    pub fn flake_check(&self, flake: &str) -> Command {
        self.nix()
            .args(["flake", "check", "--no-write-lock-file"])
            .arg(flake)
    }

    /// Says whether the store answers.
    #[must_use]
    pub fn ping_store(&self) -> Command {
        self.nix().args(["store", "ping"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nix() -> Nix {
        Nix::new(&Situation::default())
    }

    #[test]
    fn a_build_realises_derivations_with_a_log_for_machines() {
        let command = nix().realise_drvs(
            &[Path::new("/nix/store/a.drv"), Path::new("/nix/store/b.drv")],
            None,
        );
        assert_eq!(
            command.argv(),
            [
                "nix-store",
                "--log-format",
                "internal-json",
                "--realise",
                "/nix/store/a.drv",
                "/nix/store/b.drv",
            ]
        );
        let config = command
            .env_value("NIX_CONFIG")
            .expect("set")
            .to_string_lossy();
        assert!(config.contains("nix-command flakes"), "{config}");
    }

    #[test]
    fn a_number_of_cores_is_told_to_each_build() {
        let argv = nix().realise_drvs(&[Path::new("/a.drv")], Some(3)).argv();
        assert_eq!(argv[3..], ["--realise", "--cores", "3", "/a.drv"]);
    }

    #[test]
    fn a_daemon_is_named_to_every_command() {
        let beside = Nix::new(&Situation {
            daemon: true,
            ..Situation::default()
        });
        for command in [beside.nix(), beside.nix_store()] {
            assert_eq!(command.env_value("NIX_REMOTE"), Some("daemon".as_ref()));
        }
        assert_eq!(nix().nix().env_value("NIX_REMOTE"), None);
    }

    #[test]
    fn the_machines_settings_are_without_ours() {
        let command = nix().show_machine_config();
        let config = command.env_value("NIX_CONFIG").expect("set");
        assert_eq!(config, "extra-experimental-features = nix-command flakes\n");
    }

    #[test]
    fn verifying_builds_again_with_the_given_cores_and_keeps_what_differs() {
        assert_eq!(
            nix().check(Path::new("/nix/store/a.drv"), 1).argv(),
            [
                "nix-store",
                "--log-format",
                "internal-json",
                "--realise",
                "--check",
                "--keep-failed",
                "--cores",
                "1",
                "/nix/store/a.drv",
            ]
        );
    }

    #[test]
    fn evaluating_asks_for_the_outputs_of_our_system_alone() {
        let argv = nix()
            .eval_targets("git+file:///x?shallow=1", &["cki-qemu".to_owned()])
            .argv();
        assert_eq!(
            argv[..8],
            [
                "nix",
                "--log-format",
                "internal-json",
                "eval",
                "--json",
                "--impure",
                "--expr",
                r#"let flake = builtins.getFlake "git+file:///x?shallow=1"; in flake.packages.x86_64-linux // (flake.legacyPackages.x86_64-linux.tests or { })"#,
            ]
        );
        assert_eq!(argv[8], "--apply");
        assert!(argv[9].contains("\"cki-qemu\" = null;"));
    }

    #[test]
    fn a_binary_cache_is_signed_as_it_is_written() {
        let paths = [PathBuf::from("/nix/store/h-cki-host")];
        let command = nix().copy_to_cache(Path::new("/r/cache"), Path::new("/k"), &paths);
        assert_eq!(
            command.argv()[3..],
            [
                "copy",
                "--to",
                "file:///r/cache?compression=xz&secret-key=/k",
                "/nix/store/h-cki-host"
            ]
        );
    }

    #[test]
    fn a_result_is_kept_by_a_root() {
        let command = nix().add_root(Path::new("/c/roots/cki-host"), Path::new("/nix/store/h"));
        assert_eq!(
            command.argv()[3..],
            [
                "--realise",
                "/nix/store/h",
                "--add-root",
                "/c/roots/cki-host"
            ]
        );
    }
}
