// SPDX-License-Identifier: MIT OR Apache-2.0

//! Failures of Nix in words that say what to do.

use std::path::PathBuf;
use std::process::ExitStatus;

use super::full::FullDisk;
use super::log::Log;
use cki_process::exec::{Command, ExecError, describe};
use cki_wording::nearest::hint;

/// Why Nix gave no result.
#[derive(Debug, thiserror::Error)]
pub enum NixError {
    /// Nix is not installed and we cannot install it.
    #[error("Nix is not installed; run: {remedy}")]
    NotInstalled {
        /// The one command that installs it.
        remedy: String,
    },
    /// Nix is installed where no command of ours would find it.
    #[error("Nix is in {dir}, and not in PATH; run: export PATH={dir}:$PATH", dir = .0.display())]
    NotInPath(PathBuf),
    /// The flake has no such output.
    #[error(
        "the flake has no output {name}{}\nknown: {}",
        hint(nearest),
        known.join(", ")
    )]
    UnknownAttribute {
        /// What was asked for.
        name: String,
        /// The known ones that are most like it.
        nearest: Vec<String>,
        /// All outputs.
        known: Vec<String>,
    },
    /// A pinned input is not in the store.
    #[error("inputs of the build are missing; run: cki-build fetch\n{0}")]
    MissingInputs(String),
    /// This user may not write the store.
    #[error(
        "this user can neither write the Nix store nor reach its daemon; run as root, or: sudo apt-get install \
         nix-setup-systemd && sudo adduser $USER nix-users, then log out and in again\n{0}"
    )]
    StoreNotWritable(String),
    /// Something else than a store path was given for one.
    #[error(
        "{path} is no path in the Nix store {store}, and leads to none; `nix build` leaves such a link, result"
    )]
    NotInStore {
        /// What was given.
        path: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// The file system of the store or of the build is full.
    #[error("{disk}\n{message}")]
    DiskFull {
        /// Which of them, if that is known.
        disk: FullDisk,
        /// What Nix said.
        message: String,
    },
    /// The kernel does not let us make namespaces for the build.
    #[error(
        "the kernel refuses the namespaces that builds are isolated with; `cki-build doctor` says by which setting, \
         and what undoes it\n{0}"
    )]
    NoNamespaces(String),
    /// A `.nix` file was not found, most likely because git does not know it.
    #[error("{message}\nNix only sees files that git knows; run: git add {}", files.join(" "))]
    Untracked {
        /// What Nix said.
        message: String,
        /// Untracked files that it may have meant.
        files: Vec<String>,
    },
    /// A build failed.
    #[error(
        "the build of {name} failed\n{message}{}",
        if lines.is_empty() { String::new() } else { format!("\nits last lines:\n  {}", lines.join("\n  ")) }
    )]
    Build {
        /// Name of the derivation.
        name: String,
        /// What Nix said.
        message: String,
        /// End of the build's log.
        lines: Vec<String>,
    },
    /// Two builds of a derivation differ (`nix-store --check`).
    #[error("{message}")]
    NotDeterministic {
        /// What Nix said.
        message: String,
    },
    /// Anything else that Nix said.
    #[error("{command} {how}\n{message}")]
    Other {
        /// Program and sub-command.
        command: String,
        /// How it ended.
        how: String,
        /// What Nix said.
        message: String,
    },
    /// Nix gave something that we do not understand.
    #[error("Nix gave an answer that cki-build does not understand: {0}")]
    Unexpected(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Nix could not be started.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// Status of `nix-store --realise` when `--check` found a difference (Nix manual, nix-store, exit codes).
const NOT_DETERMINISTIC: i32 = 104;

/// What the command's end and log mean.
#[must_use]
pub fn translate(command: &Command, status: ExitStatus, log: &Log) -> NixError {
    let message = log.errors();
    let contains = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    let failed = failed_build(&message);
    let lines: Vec<String> = failed
        .as_deref()
        .map(|name| {
            log.last_lines(name)
                .into_iter()
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    // A sentence of the flake about missing inputs is written by its builders or at evaluation.
    let hint = |text: &str| text.contains("cki-build fetch");
    if hint(&message) {
        return NixError::MissingInputs(message);
    }
    let all_lines = || log.builds().flat_map(|name| log.last_lines(name));
    if let Some(line) = all_lines().find(|line| hint(line)) {
        return NixError::MissingInputs(line.to_owned());
    }
    if says_full(&message) || all_lines().any(says_full) {
        let disk = FullDisk::Unknown;
        return NixError::DiskFull { disk, message };
    }
    if status.code() == Some(NOT_DETERMINISTIC) || contains(&["may not be deterministic"]) {
        return NixError::NotDeterministic { message };
    }
    if contains(&["/nix/var/nix", "/nix/store"])
        && contains(&[
            "Permission denied",
            "Read-only file system",
            "Operation not permitted",
        ])
        && failed.is_none()
    {
        return NixError::StoreNotWritable(message);
    }
    if contains(&[
        "unable to start build process",
        "cloning builder process",
        "setting up a private mount namespace",
    ]) {
        return NixError::NoNamespaces(message);
    }
    // Our builders mount in a user namespace first of all.
    let refused = |line: &str| {
        ["unshare: ", "mount: "]
            .iter()
            .any(|tool| line.starts_with(tool))
            && ["Operation not permitted", "Permission denied"]
                .iter()
                .any(|why| line.ends_with(why))
    };
    if let Some(line) = all_lines().find(|line| refused(line)) {
        return NixError::NoNamespaces(line.to_owned());
    }
    if let Some(name) = failed {
        return NixError::Build {
            name,
            message,
            lines,
        };
    }
    let argv = command.argv();
    let words: Vec<_> = argv
        .iter()
        .filter(|w| !w.starts_with('-') && *w != "internal-json")
        .take(2)
        .cloned()
        .collect();
    NixError::Other {
        command: words.join(" "),
        how: describe(status),
        message,
    }
}

/// Whether `text` says that a file system has no room.
pub(crate) fn says_full(text: &str) -> bool {
    text.contains("No space left on device")
}

impl NixError {
    /// Names the file system that is full, where that was seen.
    #[must_use]
    pub(crate) fn with_disk(self, seen: Option<FullDisk>) -> Self {
        match (self, seen) {
            (Self::DiskFull { message, .. }, Some(disk)) => Self::DiskFull { disk, message },
            (error, _) => error,
        }
    }

    /// Adds the hint about files that git does not know when Nix did not find one.
    #[must_use]
    pub fn with_untracked(self, untracked: &[String]) -> Self {
        match self {
            Self::Other { message, .. }
                if message.contains("No such file or directory")
                    || message.contains("does not exist") =>
            {
                let files: Vec<_> = untracked
                    .iter()
                    .filter(|file| mentions(&message, file))
                    .cloned()
                    .collect();
                if files.is_empty() {
                    Self::Other {
                        command: "nix".to_owned(),
                        how: "failed".to_owned(),
                        message,
                    }
                } else {
                    Self::Untracked { message, files }
                }
            }
            other => other,
        }
    }
}

/// Whether `message` is about `file` or, when `file` is a directory (ends with `/`), something in it.
fn mentions(message: &str, file: &str) -> bool {
    message.contains(file.trim_end_matches('/'))
}

/// Name of the derivation in "builder for '/nix/store/….drv' failed".
fn failed_build(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("builder for '")?;
    let (path, _) = rest.split_once('\'')?;
    Some(super::log::derivation_name(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    fn failure(errors: &[&str]) -> NixError {
        let mut log = Log::default();
        for error in errors {
            let record = serde_json::json!({"action": "msg", "level": 0, "msg": error});
            log.line(&format!("@nix {record}"));
        }
        let command = Command::new("nix").args(["--log-format", "internal-json", "eval"]);
        translate(&command, ExitStatus::from_raw(0x100), &log)
    }

    #[test]
    fn missing_inputs_say_what_to_run() {
        let error =
            failure(&["error: input bison_3.8.2.deb is not in the store; run `cki-build fetch`"]);
        assert!(matches!(error, NixError::MissingInputs(_)));
        assert!(error.to_string().contains("run: cki-build fetch"));
    }

    #[test]
    fn a_build_that_says_that_inputs_are_missing_counts_as_that() {
        let mut log = Log::default();
        log.line(r#"@nix {"action":"start","fields":["/nix/store/h-bison.deb.drv","",1,1],"id":7,"level":3,"text":"","type":105}"#);
        log.line(r#"@nix {"action":"result","fields":["missing: run cki-build fetch"],"id":7,"type":101}"#);
        log.line(r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/h-bison.deb.drv' failed with exit code 1"}"#);
        let error = translate(
            &Command::new("nix-store"),
            ExitStatus::from_raw(0x100),
            &log,
        );
        assert!(matches!(error, NixError::MissingInputs(_)), "{error}");
    }

    #[test]
    fn a_store_of_somebody_else_names_the_remedy() {
        let error =
            failure(&["error: creating directory '/nix/var/nix/profiles': Permission denied"]);
        assert!(matches!(error, NixError::StoreNotWritable(_)), "{error}");
        // What Nix 2.8 says to a user without the daemon.
        let error = failure(&[
            "error: could not set permissions on '/nix/var/nix/profiles/per-user' to 755: Operation not permitted",
        ])
        .to_string();
        assert!(error.contains("then log out and in again\n"), "{error}");
    }

    #[test]
    fn a_full_disk_is_called_that() {
        let error = failure(&["error: writing to file: No space left on device"]);
        assert!(error.to_string().starts_with("the disk is full; "));
        let error = error.with_disk(Some(FullDisk::Cache("/c".into())));
        assert!(error.to_string().contains("the cache /c is full"));
    }

    #[test]
    fn a_failed_build_is_named_with_its_last_lines() {
        let mut log = Log::default();
        log.line(r#"@nix {"action":"start","fields":["/nix/store/h-cki-init-0.1.drv","",1,1],"id":7,"level":3,"text":"","type":105}"#);
        log.line(
            r#"@nix {"action":"result","fields":["error[E0425]: cannot find"],"id":7,"type":101}"#,
        );
        log.line(r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/h-cki-init-0.1.drv' failed with exit code 101"}"#);
        let message = translate(
            &Command::new("nix-store"),
            ExitStatus::from_raw(0x100),
            &log,
        )
        .to_string();
        assert!(
            message.starts_with("the build of cki-init-0.1 failed"),
            "{message}"
        );
        assert!(
            message.ends_with("\n  error[E0425]: cannot find"),
            "{message}"
        );
    }

    #[test]
    fn a_builder_that_may_not_mount_names_the_namespaces() {
        let told = |line: &str| {
            let mut log = Log::default();
            log.line(r#"@nix {"action":"start","fields":["/nix/store/h-cki-init-0.1.drv","",1,1],"id":7,"level":3,"text":"","type":105}"#);
            let record = serde_json::json!({"action":"result","fields":[line],"id":7,"type":101});
            log.line(&format!("@nix {record}"));
            log.line(r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/h-cki-init-0.1.drv' failed with exit code 1"}"#);
            translate(
                &Command::new("nix-store"),
                ExitStatus::from_raw(0x100),
                &log,
            )
        };
        for line in [
            "unshare: unshare(0x10020000): Operation not permitted",
            "mount: mounting /nix on /build/root/nix failed: Permission denied",
        ] {
            let error = told(line);
            assert!(matches!(error, NixError::NoNamespaces(_)), "{error}");
            let text = error.to_string();
            assert!(text.contains("doctor") && text.contains(line), "{text}");
        }
        let other = told("cp: cannot create 'x': Permission denied");
        assert!(matches!(other, NixError::Build { .. }), "{other}");
    }

    #[test]
    fn two_builds_that_differ_are_told_by_the_status() {
        let error = translate(
            &Command::new("nix-store"),
            ExitStatus::from_raw(104 << 8),
            &Log::default(),
        );
        assert!(matches!(error, NixError::NotDeterministic { .. }));
    }

    #[test]
    fn a_file_that_git_does_not_know_is_named() {
        let error = failure(&[
            "error: getting status of '/nix/store/x-source/nix/new.nix': No such file or directory",
        ]);
        let message = error
            .with_untracked(&["nix/new.nix".to_owned(), "other".to_owned()])
            .to_string();
        assert!(message.ends_with("run: git add nix/new.nix"), "{message}");
    }

    #[test]
    fn anything_else_is_passed_on() {
        let message = failure(&["error: infinite recursion encountered"]).to_string();
        assert_eq!(
            message,
            "nix eval ended with status 1\nerror: infinite recursion encountered"
        );
    }
}
