// SPDX-License-Identifier: MIT OR Apache-2.0

//! Running Nix's commands: what they log as progress, their failures in words.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::cache::Scratch;
use crate::command::Nix;
use crate::error::{self, NixError};
use crate::eval::{self, Target};
use crate::full::which;
use crate::log::{Event, Log};
use cki_process::exec::Command;
use cki_process::interrupt::Deferred;
use cki_process::progress::Progress;

/// A store path and all that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// The path.
    pub top: PathBuf,
    /// All paths, itself included, each with the hash of its contents.
    pub paths: Vec<(PathBuf, String)>,
}

fn lines(text: &[u8]) -> Result<impl Iterator<Item = &str>, NixError> {
    let text = std::str::from_utf8(text);
    let text = text.map_err(|error| NixError::Unexpected(error.to_string()))?;
    Ok(text.lines().filter(|line| !line.is_empty()))
}

impl Nix {
    /// Derivation and output path of each of `attrs`, from one evaluation of the flake.
    ///
    /// # Errors
    /// [`NixError::UnknownAttribute`] names the nearest known one; otherwise what Nix said.
    pub fn targets(
        &self,
        flake: &str,
        attrs: &[String],
        progress: Progress,
    ) -> Result<BTreeMap<String, Target>, NixError> {
        let step = progress.short_step("evaluating the flake");
        let json = self.capture(&self.eval_targets(flake, attrs), &|_| {})?;
        step.finish();
        eval::parse_targets(&json, attrs)
    }

    /// Builds `targets` and protects their outputs from garbage collection by links in `roots`. What is half built
    /// is in `scratch`; a signal that asks us to end does so when that is gone.
    ///
    /// # Errors
    /// What Nix said, and the last lines of the build that failed.
    pub fn realise(
        &self,
        targets: &BTreeMap<String, Target>,
        roots: &Path,
        scratch: Scratch,
        verbose: bool,
        progress: Progress,
    ) -> Result<(), NixError> {
        let names: Vec<_> = targets.keys().map(String::as_str).collect();
        // Most often there is nothing to build, which is no news.
        let step = progress.short_step(&format!("building {}", names.join(", ")));
        let drvs: Vec<_> = targets
            .values()
            .map(|target| target.drv.as_path())
            .collect();
        let deferred = Deferred::start().map_err(|source| NixError::Io {
            path: "/proc/self/status".into(),
            source,
        })?;
        let command = self
            .realise_drvs(&drvs, self.all_cores()?)
            .env("TMPDIR", scratch.path());
        let full = RefCell::new(None);
        let look = |text: &str| {
            if error::says_full(text) && full.borrow().is_none() {
                full.replace(Some(which(&self.store, scratch.cache())));
            }
        };
        let built = self.capture_with(&command, Some(&deferred), &|event| match event {
            // What Nix expects before the first build counts what is there already.
            Event::Building { name, done: 0, .. } => step.part(&format!("building {name}")),
            Event::Building { name, done, total } => {
                step.part(&format!("building {name} ({}/{total})", done + 1));
            }
            Event::Line { name, line } => {
                look(line);
                if verbose {
                    step.note(&format!("{name}> {line}"));
                } else {
                    step.detail(line);
                }
            }
            Event::Fetching { name } => step.part(&format!("fetching {name}")),
            Event::Message { text, .. } => look(text),
        });
        drop(scratch);
        deferred.finish();
        built.map_err(|error| error.with_disk(full.take()))?;
        step.finish();
        std::fs::create_dir_all(roots).map_err(|source| NixError::Io {
            path: roots.to_owned(),
            source,
        })?;
        for (name, target) in targets {
            let link = roots.join(name);
            self.capture(&self.add_root(&link, &target.out), &|_| {})?;
        }
        Ok(())
    }

    /// How many cores a build is to be told of where the settings say `cores = 0`, for all. Nix 2.8 hands the zero on
    /// to the builders, and make wants a number.
    ///
    /// # Errors
    /// When Nix does not tell its settings.
    fn all_cores(&self) -> Result<Option<u32>, NixError> {
        let settings = self.show_config().read()?;
        let available = std::thread::available_parallelism()
            .ok()
            .and_then(|cores| u32::try_from(cores.get()).ok());
        Ok(available.filter(|_| asks_for_all_cores(&settings)))
    }

    /// Removes `path` from the store.
    ///
    /// # Errors
    /// What Nix said, also when something still needs the path.
    pub fn delete(&self, path: &Path) -> Result<(), NixError> {
        self.capture(&self.delete_path(path), &|_| {}).map(drop)
    }

    /// The store path that `path` is in or leads to, by its name alone.
    ///
    /// # Errors
    /// [`NixError::NotInStore`]; [`NixError::Io`] when nothing is there.
    pub fn top_of(&self, path: &Path) -> Result<PathBuf, NixError> {
        let real = path.canonicalize().map_err(|source| NixError::Io {
            path: path.to_owned(),
            source,
        })?;
        let outside = || NixError::NotInStore {
            path: path.to_owned(),
            store: self.store.clone(),
        };
        let below = real.strip_prefix(&self.store).map_err(|_| outside())?;
        Ok(self.store.join(below.iter().next().ok_or_else(outside)?))
    }

    /// The store path that `path` is in or leads to, and all that it needs.
    ///
    /// # Errors
    /// As [`Nix::top_of`]; what Nix said, such as that its database does not have the path.
    pub fn closure(&self, path: &Path) -> Result<Closure, NixError> {
        let top = self.top_of(path)?;
        let text = self.capture(&self.closure_of(&top), &|_| {})?;
        let paths: Vec<PathBuf> = lines(&text)?.map(PathBuf::from).collect();
        let text = self.capture(&self.hashes(&paths), &|_| {})?;
        let hashes: Vec<String> = lines(&text)?.map(str::to_owned).collect();
        if hashes.len() != paths.len() || !paths.contains(&top) {
            let (paths, hashes) = (paths.len(), hashes.len());
            let what = format!(
                "{paths} paths that {} needs, {hashes} hashes",
                top.display()
            );
            return Err(NixError::Unexpected(what));
        }
        let paths = paths.into_iter().zip(hashes).collect();
        Ok(Closure { top, paths })
    }

    /// Runs a Nix command that logs as JSON, hands its events to `on_event` and gives its standard output.
    ///
    /// # Errors
    /// [`NixError`], from what it logged.
    pub fn capture(
        &self,
        command: &Command,
        on_event: &dyn Fn(&Event),
    ) -> Result<Vec<u8>, NixError> {
        self.capture_with(command, None, on_event)
    }

    /// As [`Nix::capture`]; with `deferred`, a signal to us is one to the command.
    fn capture_with(
        &self,
        command: &Command,
        deferred: Option<&Deferred>,
        on_event: &dyn Fn(&Event),
    ) -> Result<Vec<u8>, NixError> {
        let pipe = |source| NixError::Exec(command.spawn_error(source));
        let (reader, writer) = os_pipe::pipe().map_err(pipe)?;
        let expression = command
            .expression(Signal::TERM)
            .stdin_null()
            .stdout_capture()
            .stderr_file(writer);
        let handle = expression.start().map_err(pipe)?;
        if let Some(deferred) = deferred {
            deferred.watch(handle.pids());
        }
        // The expression holds the writing end, and reading would never end.
        drop(expression);
        let mut log = Log::default();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.map_err(pipe)?;
            if let Some(event) = log.line(&String::from_utf8_lossy(&line)) {
                on_event(&event);
            }
        }
        let output = handle.into_output().map_err(pipe)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(error::translate(command, output.status, &log))
        }
    }
}

/// Whether `nix show-config --json` says `cores = 0`.
fn asks_for_all_cores(settings: &[u8]) -> bool {
    let settings: serde_json::Value = serde_json::from_slice(settings).unwrap_or_default();
    settings["cores"]["value"] == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_zero_asks_for_all_cores() {
        let asks =
            |value| asks_for_all_cores(format!(r#"{{"cores":{{"value":{value}}}}}"#).as_bytes());
        assert!(asks("0"));
        assert!(!asks("2"));
        assert!(!asks_for_all_cores(b"{}"));
    }
}
