// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a session is given, and what comes out of it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cki_frontend::UserTerminal;
use cki_session::{Isolation, Outcome, Signal};

use super::timeline::Timeline;

/// Our side of the program's streams.
pub struct Io {
    /// What the program reads.
    pub stdin: Box<dyn Read + Send>,
    /// Where its standard output goes.
    pub stdout: Box<dyn Write + Send>,
    /// Where its standard error goes.
    pub stderr: Box<dyn Write + Send>,
    /// Where the kernel console goes, besides being kept for reports.
    pub console: Option<Box<dyn Write + Send>>,
    /// What the other three are connected to, for a program that has a terminal of its own.
    pub terminal: Option<UserTerminal>,
    /// Whoever serves the volumes, in the order of [`Machine::volumes`](crate::Machine::volumes).
    pub volumes: Vec<UnixStream>,
    /// The files of the disks, in the order of [`Machine::disks`](crate::Machine::disks).
    pub disks: Vec<File>,
}

impl Io {
    /// The three streams, and nothing beside them.
    #[must_use]
    pub fn new(
        stdin: impl Read + Send + 'static,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Self {
        Self {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            console: None,
            terminal: None,
            volumes: Vec::new(),
            disks: Vec::new(),
        }
    }
}

/// The time that a program has.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    /// How long it may run.
    pub limit: Option<Duration>,
    /// What it gets then.
    pub signal: Signal,
    /// How long it may still run after that, before its machine is ended.
    pub grace: Duration,
}

impl TimeLimit {
    /// All the time that it wants.
    pub const NONE: TimeLimit = TimeLimit::new(None);

    /// So much time, and two seconds more to obey SIGTERM.
    #[must_use]
    pub const fn new(limit: Option<Duration>) -> Self {
        TimeLimit {
            limit,
            signal: Signal::TERM,
            grace: Duration::from_secs(2),
        }
    }
}

/// A session that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How the program ended.
    pub outcome: Outcome,
    /// When things happened.
    pub times: Timeline,
    /// Kernel release of the machine, once init has said it.
    pub kernel: Option<String>,
    /// What kept the program from the machine, once it was started.
    pub isolation: Option<Isolation>,
}

impl Ended {
    /// A session that ended at once, and so: what tests of who judges an ending begin with.
    #[must_use]
    pub fn at_once(outcome: Outcome, isolation: Option<Isolation>) -> Self {
        Ended {
            outcome,
            times: Timeline::at_once(),
            kernel: None,
            isolation,
        }
    }
}
