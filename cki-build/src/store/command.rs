// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands as values, so that tests can look at them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Command, Output, Stdio};

/// A command that is yet to be run: program, arguments and additions to the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Name (looked up in `PATH`) or path of the program.
    pub program: OsString,
    /// Arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Variables that are set in addition to the inherited ones.
    pub env: Vec<(OsString, OsString)>,
}

impl Invocation {
    /// A command without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().into()));
        self
    }

    /// Sets a variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Program and arguments as text, for tests and messages.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(&self.program)
            .chain(&self.args)
            .map(|a| a.to_string_lossy().into_owned())
            .collect()
    }

    /// Runs it with empty standard input and returns what it wrote and its status.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn output(&self) -> io::Result<Output> {
        Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .output()
    }
}
