// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands as values.
//!
//! Everything that `cki-build` runs is built as a [`Command`] by a function without side effects, so that
//! tests state the exact argument vector, and is executed in one place. A child gets a signal when
//! its parent dies, whatever kills the parent: no build and no machine outlives `cki-build`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::Signal;

/// Lines that an error of [`Command::stream`] carries.
const STREAM_LINES: usize = 20;

/// Why a command gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program is not there or cannot be executed.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// Program as it was given.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program ran and did not end with status 0.
    #[error("{command}: {how}{}", if stderr.is_empty() { String::new() } else { format!("\n{stderr}") })]
    Failed {
        /// The command line, quoted for a shell.
        command: String,
        /// "ended with status N" or "was ended by signal N".
        how: String,
        /// What it wrote to its standard error, trimmed; empty when that went to ours.
        stderr: String,
    },
}

impl ExecError {
    /// Whether there is no such program.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A program with its arguments, environment and working directory; nothing runs until it is asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, Option<OsString>>,
    cwd: Option<PathBuf>,
    input: Option<PathBuf>,
}

impl Command {
    /// `program` without arguments. A name without `/` is looked up in `PATH`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            input: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment; the others are inherited.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(key.into(), Some(value.into()));
        self
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn env_remove(mut self, key: impl Into<OsString>) -> Self {
        self.env.insert(key.into(), None);
        self
    }

    /// Runs in `dir` instead of the current directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Has the file as its standard input, in place of none.
    #[must_use]
    pub fn input(mut self, file: impl Into<PathBuf>) -> Self {
        self.input = Some(file.into());
        self
    }

    /// Program and arguments as text (bytes that are no UTF-8 are replaced), for tests and messages.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// Value that the command sets for `key`, if it sets one.
    #[must_use]
    pub fn env_value(&self, key: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(key)).and_then(|v| v.as_deref())
    }

    /// Directory in which it runs, when not the current one.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }

    /// The command as a duct expression that never turns a status into an error by itself.
    ///
    /// The child gets `on_parent_death` when the thread that starts it ends: start it from a thread
    /// that waits for it.
    pub fn expression(&self, on_parent_death: Signal) -> duct::Expression {
        let mut expression = duct::cmd(&self.program, &self.args).unchecked();
        for (key, value) in &self.env {
            expression = match value {
                Some(value) => expression.env(key, value),
                None => expression.env_remove(key),
            };
        }
        if let Some(dir) = &self.cwd {
            expression = expression.dir(dir);
        }
        let parent = rustix::process::getpid();
        tracing::debug!(command = %self, "command");
        expression.before_spawn(move |child| {
            die_with_parent(child, parent, on_parent_death);
            Ok(())
        })
    }

    /// Runs with our standard streams and gives whether the status was 0.
    ///
    /// # Errors
    /// [`ExecError::Spawn`] when it cannot be started.
    pub fn status(&self) -> Result<std::process::ExitStatus, ExecError> {
        let output = self.expression(Signal::TERM).run();
        Ok(output.map_err(|source| self.spawn_error(source))?.status)
    }

    /// Runs with our standard streams; any status but 0 is an error.
    ///
    /// # Errors
    /// [`ExecError`].
    pub fn run(&self) -> Result<(), ExecError> {
        let status = self.status()?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failure(status, b""))
        }
    }

    /// Runs with no input but a file's, and captures both outputs, whatever the status.
    ///
    /// # Errors
    /// [`ExecError::Spawn`] when it cannot be started, or its input cannot be read.
    pub fn output(&self) -> Result<Output, ExecError> {
        self.with_input(self.expression(Signal::TERM))
            .stdout_capture()
            .stderr_capture()
            .run()
            .map_err(|source| self.spawn_error(source))
    }

    /// Runs as [`Command::output`] does and gives its standard output; any status but 0 is an error.
    ///
    /// # Errors
    /// [`ExecError`], with the standard error in it.
    pub fn read(&self) -> Result<Vec<u8>, ExecError> {
        let output = self.output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(self.failure(output.status, &output.stderr))
        }
    }

    /// [`Command::read`] as text without the trailing end of line.
    ///
    /// # Errors
    /// [`ExecError`].
    pub fn read_text(&self) -> Result<String, ExecError> {
        Ok(String::from_utf8_lossy(&self.read()?).trim_end().to_owned())
    }

    /// Runs with no input but a file's, and hands each line of both outputs to `on_line` as it comes.
    ///
    /// # Errors
    /// [`ExecError`]; the last lines are in it.
    pub fn stream(&self, on_line: &mut dyn FnMut(&str)) -> Result<(), ExecError> {
        let failed = |source| self.spawn_error(source);
        let reader = self
            .with_input(self.expression(Signal::TERM))
            .stderr_to_stdout()
            .reader()
            .map_err(failed)?;
        let mut last = std::collections::VecDeque::new();
        let mut lines = BufReader::new(reader);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            on_line(&text);
            if last.len() == STREAM_LINES {
                last.pop_front();
            }
            last.push_back(text);
            line.clear();
        }
        let status = match lines.get_ref().try_wait().map_err(failed)? {
            Some(output) => output.status,
            None => return Err(failed(io::ErrorKind::WouldBlock.into())),
        };
        if status.success() {
            Ok(())
        } else {
            let last: Vec<_> = last.into();
            Err(self.failure(status, last.join("\n").as_bytes()))
        }
    }

    fn with_input(&self, expression: duct::Expression) -> duct::Expression {
        match &self.input {
            Some(file) => expression.stdin_path(file),
            None => expression.stdin_null(),
        }
    }

    /// The error that says that the command could not be started.
    #[must_use]
    pub fn spawn_error(&self, source: io::Error) -> ExecError {
        ExecError::Spawn {
            program: self.program.to_string_lossy().into_owned(),
            source,
        }
    }

    /// The error that says that the command ended with `status`.
    #[must_use]
    pub fn failure(&self, status: std::process::ExitStatus, stderr: &[u8]) -> ExecError {
        ExecError::Failed {
            command: self.to_string(),
            how: describe(status),
            stderr: String::from_utf8_lossy(stderr).trim().to_owned(),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.env {
            if let Some(value) = value {
                let word = format!("{}={}", key.to_string_lossy(), value.to_string_lossy());
                write!(f, "{} ", shell_words::quote(&word))?;
            }
        }
        f.write_str(&shell_words::join(self.argv()))?;
        match &self.input {
            Some(file) => write!(f, " < {}", shell_words::quote(&file.to_string_lossy())),
            None => Ok(()),
        }
    }
}

/// `status` in words.
#[must_use]
pub fn describe(status: std::process::ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// Has the kernel send `signal` to the child when the thread that spawned it ends.
pub fn die_with_parent(
    child: &mut std::process::Command,
    parent: rustix::process::Pid,
    signal: Signal,
) {
    use std::os::unix::process::CommandExt as _;
    let hook = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have died between fork and prctl, and then nobody sends the signal.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    };
    // SAFETY: the hook runs between fork and exec and makes two system calls (prctl, getppid); it
    // neither allocates nor takes a lock, which is all that a fork of a threaded process forbids.
    unsafe { child.pre_exec(hook) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_input_and_none_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a file");
        std::fs::write(&file, "what it has").unwrap();
        let command = Command::new("cat").input(&file);
        assert_eq!(command.read_text().unwrap(), "what it has");
        assert!(command.to_string().ends_with("a file'"), "{command}");
        assert_eq!(Command::new("cat").read_text().unwrap(), "");
        let absent = Command::new("cat").input(dir.path().join("none"));
        assert!(matches!(absent.output(), Err(ExecError::Spawn { .. })));
    }

    #[test]
    fn a_command_shows_as_a_line_for_the_shell() {
        let command = Command::new("nix")
            .args(["build", "a b"])
            .env("K", "x y")
            .env_remove("OTHER");
        assert_eq!(command.argv(), ["nix", "build", "a b"]);
        assert_eq!(command.to_string(), "'K=x y' nix build 'a b'");
    }

    #[test]
    fn a_failure_carries_status_and_standard_error() {
        let command = Command::new("sh").args(["-c", "echo why >&2; exit 3"]);
        let message = command.read().unwrap_err().to_string();
        assert!(message.contains("ended with status 3"), "{message}");
        assert!(message.ends_with("\nwhy"), "{message}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let message = Command::new("no-such-program-here")
            .read()
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("cannot run no-such-program-here:"),
            "{message}"
        );
    }

    #[test]
    fn a_child_dies_with_the_thread_that_started_it() {
        let command = Command::new("sleep").arg("1000");
        let handle = std::thread::spawn(move || {
            command
                .expression(Signal::KILL)
                .start()
                .expect("sleep starts")
        })
        .join()
        .expect("the thread ends");
        let status = handle.wait().expect("sleep is waited for").status;
        assert_eq!(status.signal(), Some(9));
    }

    #[test]
    fn lines_are_handed_over_as_they_come_and_the_status_counts() {
        let mut lines = Vec::new();
        Command::new("sh")
            .args(["-c", "echo a; echo b >&2"])
            .stream(&mut |line| lines.push(line.to_owned()))
            .expect("status 0");
        assert_eq!(lines, ["a", "b"]);
        let error = Command::new("sh")
            .args(["-c", "echo bad; exit 4"])
            .stream(&mut |_| {});
        let message = error.expect_err("status 4").to_string();
        assert!(message.ends_with("ended with status 4\nbad"), "{message}");
    }

    #[test]
    fn environment_and_directory_reach_the_child() {
        let command = Command::new("sh")
            .args(["-c", "printf '%s %s %s' \"$A\" \"${HOME-unset}\" \"$PWD\""])
            .env("A", "1")
            .env_remove("HOME")
            .cwd("/");
        assert_eq!(command.read_text().unwrap(), "1 unset /");
    }
}
