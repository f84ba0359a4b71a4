// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calling Nix: which paths are there, and adding those that are not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::command::Nix;
use crate::path::{Mode, fixed_output_path, name_of};
use cki_process::exec::{Command, ExecError};

/// Paths on one command line; a store path has about 100 bytes, and 2 MiB are allowed.
const BATCH: usize = 1000;

/// A file or directory on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// Where it is now.
    pub source: PathBuf,
    /// What its hash is taken of.
    pub mode: Mode,
    /// The store path that it must get.
    pub expected: PathBuf,
}

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nix is not installed.
    #[error("Nix is not installed ({} was not found): {}", .0.display(), crate::setup::remedy())]
    NoNix(PathBuf),
    /// A command could not be started.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A command failed.
    #[error("{command} failed: {message}")]
    Failed {
        /// The program and its options.
        command: String,
        /// What it said.
        message: String,
    },
    /// A file could not be linked or copied to its store name.
    #[error("cannot write {path}: {cause}")]
    Stage {
        /// The link or copy.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// The store's file system is full.
    #[error("{}", crate::full::FullDisk::Store(.0.clone()))]
    DiskFull(PathBuf),
    /// A file got another path than its hash promised: it is not the file that it should be.
    #[error(
        "{} is not what it should be: it became {} instead of {}",
        .source_file.display(), .found.display(), .expected.display()
    )]
    WrongPath {
        /// The file.
        source_file: PathBuf,
        /// The path that it should get.
        expected: PathBuf,
        /// The path that it got.
        found: PathBuf,
    },
}

impl Nix {
    /// The path of a fixed output in this store.
    #[must_use]
    pub fn fixed_output(&self, name: &str, mode: Mode, sha256: &str) -> PathBuf {
        fixed_output_path(&self.store, name, mode, sha256)
    }

    /// The command that prints those of `paths` that are not in the store.
    #[must_use]
    pub fn check_command(&self, paths: &[&Path]) -> Command {
        self.nix_store()
            .args(["--check-validity", "--print-invalid"])
            .args(paths)
    }

    /// The command that adds files as fixed outputs and prints their paths.
    #[must_use]
    pub fn add_command(&self, mode: Mode, files: &[&Path]) -> Command {
        let command = match mode {
            Mode::Flat => self.nix_store(),
            Mode::Recursive => self.nix_store().arg("--recursive"),
        };
        command.args(["--add-fixed", "sha256"]).args(files)
    }

    /// Those of `paths` that are not in the store. What exists without being registered, as after a crash, is not in
    /// it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn missing<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> Result<BTreeSet<PathBuf>, StoreError> {
        let paths: Vec<&Path> = paths.into_iter().collect();
        self.make_store();
        let mut missing = BTreeSet::new();
        for batch in paths.chunks(BATCH) {
            missing.extend(self.run(&self.check_command(batch))?);
        }
        Ok(missing)
    }

    /// Adds files and checks that each gets the expected path. Adding what is there already does no harm.
    ///
    /// Nix takes the store name from the file's own. A file of another name is linked into `staging`, an empty
    /// directory, under the right one; a directory for each keeps files of the same name apart.
    ///
    /// # Errors
    /// See [`StoreError`]; after an error some of the files may have been added.
    pub fn add(&self, additions: &[Addition], staging: &Path) -> Result<(), StoreError> {
        for mode in [Mode::Flat, Mode::Recursive] {
            let (mut of_mode, mut files) = (Vec::new(), Vec::new());
            for (i, addition) in additions.iter().enumerate() {
                if addition.mode == mode {
                    files.push(under_its_name(addition, &staging.join(i.to_string()))?);
                    of_mode.push(addition);
                }
            }
            if files.is_empty() {
                continue;
            }
            let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
            let command = self.add_command(mode, &files);
            let found = self.run(&command)?;
            if found.len() != files.len() {
                return Err(StoreError::Failed {
                    command: summary(&command),
                    message: format!("it printed {} paths for {} files", found.len(), files.len()),
                });
            }
            for (addition, found) in of_mode.into_iter().zip(found) {
                if addition.expected != found {
                    return Err(StoreError::WrongPath {
                        source_file: addition.source.clone(),
                        expected: addition.expected.clone(),
                        found,
                    });
                }
            }
        }
        Ok(())
    }

    /// Runs a command that prints store paths.
    fn run(&self, command: &Command) -> Result<Vec<PathBuf>, StoreError> {
        let output = command.output().map_err(|error| {
            if error.is_not_found() {
                StoreError::NoNix(self.nix_store.clone())
            } else {
                error.into()
            }
        })?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            if message.contains("No space left on device")
                || message.contains("Disk quota exceeded")
            {
                return Err(StoreError::DiskFull(self.store.clone()));
            }
            let message = match message.trim() {
                "" => output.status.to_string(),
                text => text.to_owned(),
            };
            return Err(StoreError::Failed {
                command: summary(command),
                message,
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .map(PathBuf::from)
            .collect())
    }
}

/// The path of the addition's file under its store name: its own, or a link in the new directory `staging`.
fn under_its_name(addition: &Addition, staging: &Path) -> Result<PathBuf, StoreError> {
    let name = name_of(&addition.expected);
    if addition.source.file_name().is_some_and(|own| own == name) {
        return Ok(addition.source.clone());
    }
    let link = staging.join(name);
    // Hard links cost nothing, but other file systems and protected files need a copy.
    fs::create_dir(staging)
        .and_then(|()| {
            fs::hard_link(&addition.source, &link)
                .or_else(|_| fs::copy(&addition.source, &link).map(drop))
        })
        .map_err(|cause| StoreError::Stage {
            path: link.clone(),
            cause,
        })?;
    Ok(link)
}

/// The command without its many paths.
fn summary(command: &Command) -> String {
    let words = command.argv();
    let short: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .take_while(|w| !w.contains('/') || *w == words[0])
        .collect();
    short.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Situation;

    fn nix() -> Nix {
        Nix::new(&Situation::default())
    }

    fn script(dir: &Path, text: &str) -> Nix {
        let nix_store = dir.join("nix-store");
        cki_process::files::write_program(&nix_store, &format!("#!/bin/sh\n{text}\n")).unwrap();
        Nix { nix_store, ..nix() }
    }

    const EXPECTED: &str = "/nix/store/78qa12qn0wikhyxndpl0xlfi0qam627c-a.deb";

    fn addition() -> Addition {
        let expected = PathBuf::from(EXPECTED);
        Addition {
            source: "/cache/a.deb".into(),
            mode: Mode::Flat,
            expected,
        }
    }

    #[test]
    fn validity_is_asked_for_all_paths_at_once() {
        let command =
            nix().check_command(&[Path::new("/nix/store/x-a"), Path::new("/nix/store/y-b")]);
        let expected = [
            "nix-store",
            "--check-validity",
            "--print-invalid",
            "/nix/store/x-a",
            "/nix/store/y-b",
        ];
        assert_eq!(command.argv(), expected);
        let config = command.env_value("NIX_CONFIG").expect("our settings");
        assert!(config.to_string_lossy().starts_with("substituters ="));
    }

    #[test]
    fn files_are_added_flat_and_directories_recursively() {
        let nix = nix();
        let flat = nix.add_command(
            Mode::Flat,
            &[Path::new("/s/0/a.deb"), Path::new("/s/1/b.deb")],
        );
        assert_eq!(
            flat.argv(),
            [
                "nix-store",
                "--add-fixed",
                "sha256",
                "/s/0/a.deb",
                "/s/1/b.deb"
            ]
        );
        let recursive = nix.add_command(Mode::Recursive, &[Path::new("/s/cki-seed")]);
        assert_eq!(
            recursive.argv(),
            [
                "nix-store",
                "--recursive",
                "--add-fixed",
                "sha256",
                "/s/cki-seed"
            ]
        );
    }

    #[test]
    fn a_missing_nix_is_named_with_the_command_that_installs_it() {
        let nix = Nix {
            nix_store: "/nonexistent/nix-store".into(),
            ..nix()
        };
        let error = nix.missing([Path::new("/nix/store/x")]).unwrap_err();
        assert!(matches!(error, StoreError::NoNix(_)));
        assert!(
            error.to_string().contains("apt-get install nix-bin"),
            "{error}"
        );
    }

    #[test]
    fn a_full_store_and_other_failures_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let full = script(
            dir.path(),
            "echo 'error: writing to file: No space left on device' >&2; exit 1",
        );
        assert!(matches!(
            full.add(&[addition()], dir.path()),
            Err(StoreError::DiskFull(_))
        ));
        let broken = script(dir.path(), "echo 'error: cannot open lock' >&2; exit 1");
        let error = broken
            .add(&[addition()], dir.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("--add-fixed sha256 failed: error: cannot open lock")
                && !error.contains("a.deb"),
            "{error}"
        );
    }

    #[test]
    fn a_file_of_another_name_is_added_under_the_right_one() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("0123abcd");
        fs::write(&source, "contents").unwrap();
        let staging = dir.path().join("staging");
        fs::create_dir(&staging).unwrap();
        let nix = script(
            dir.path(),
            &format!(
                "echo \"$@\" >{}/args; cat \"$3\" >{0}/seen; echo {EXPECTED}",
                dir.path().display()
            ),
        );
        let wanted = Addition {
            source,
            ..addition()
        };
        nix.add(&[wanted], &staging).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let link = staging.join("0/a.deb");
        assert_eq!(
            read("args").trim(),
            format!("--add-fixed sha256 {}", link.display())
        );
        assert_eq!(read("seen"), "contents");
    }

    #[test]
    fn a_file_that_gets_another_path_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            script(dir.path(), &format!("echo {EXPECTED}"))
                .add(&[addition()], dir.path())
                .is_ok()
        );
        let other =
            script(dir.path(), "echo /nix/store/other-a.deb").add(&[addition()], dir.path());
        assert!(matches!(other, Err(StoreError::WrongPath { .. })));
        assert!(matches!(
            script(dir.path(), "true").add(&[addition()], dir.path()),
            Err(StoreError::Failed { .. })
        ));
    }
}
