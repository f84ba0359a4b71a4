// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program of a session: its environment, where it is, and starting it.
//!
//! | file | what |
//! |---|---|
//! | [`account`] | users and groups of an image |
//! | [`credentials`] | limits, capabilities, user |
//! | [`group`] | a control group: all processes of a session |
//! | [`inheritance`] | what it should not inherit from init |
//! | [`oom`] | whether it was killed for lack of memory |
//! | [`process`] | children and signals, by number |
//! | [`pty`] | a terminal of its own |
//! | [`pump`] | copies one stream to another, without blocking |
//! | [`running`] | one that runs: its streams, its terminal, its end |

pub mod account;
pub mod credentials;
pub mod group;
pub mod inheritance;
pub mod oom;
pub mod process;
pub mod pty;
pub mod pump;
pub mod running;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cki_session::{FailureKind, Process};

use crate::program::account::{AccountError, Identity};
use crate::program::credentials::{LIMIT_REFUSED, restrict};
use crate::program::inheritance::{as_session_leader, with_fresh_signals, with_terminal};
use crate::program::pty::Pty;
use crate::regular;

/// Where programs are looked for unless the client sets `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that was started.
#[derive(Debug)]
pub struct Started {
    /// Its process, with our ends of its pipes unless it has a terminal.
    pub child: Child,
    /// Its terminal.
    pub terminal: Option<Pty>,
}

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramStartError {
    /// There is no such file, in `PATH` or where the path says.
    #[error("no such program: {0}")]
    NotFound(String),
    /// The file is a directory, lacks the x bit or is nothing the kernel can execute.
    #[error("cannot execute {path}: {reason}")]
    NotExecutable {
        /// The file.
        path: String,
        /// Why, as the kernel says it.
        reason: String,
    },
    /// The working directory is missing.
    #[error("cannot enter the working directory {path}: {source}")]
    WorkingDirectory {
        /// The directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is no such user.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A limit that the kernel does not take.
    #[error("the kernel takes no such limits: {0}")]
    Limit(String),
    /// It can get no terminal.
    #[error("cannot open a terminal: {0}")]
    Terminal(io::Error),
    /// Anything else that fork or exec failed with.
    #[error("cannot start {path}: {source}")]
    Start {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl ProgramStartError {
    /// How the client is to understand it.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NotFound(_) => FailureKind::NotFound,
            Self::NotExecutable { .. } => FailureKind::NotExecutable,
            Self::WorkingDirectory { .. } | Self::Account(_) | Self::Limit(_) => {
                FailureKind::Request
            }
            Self::Terminal(_) | Self::Start { .. } => FailureKind::Internal,
        }
    }
}

/// The whole environment of the program: the defaults, then what the client sets, later ones winning. A terminal
/// that the client does not name is taken for the most common one.
#[must_use]
pub fn environment(process: &Process, home: &str) -> BTreeMap<String, String> {
    let defaults = [("PATH", DEFAULT_PATH), ("HOME", home), ("LANG", "C.UTF-8")];
    let terminal = process.terminal.map(|_| ("TERM", "xterm"));
    let defaults = defaults.into_iter().chain(terminal);
    defaults
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(process.env.iter().cloned())
        .collect()
}

/// The file that `name` means: itself if it has a `/` (relative to `workdir`), otherwise the first
/// executable file of that name in the directories of `path`. As with execvp(3), a file that is
/// found but cannot be executed is remembered while the search goes on.
///
/// # Errors
/// [`ProgramStartError::NotFound`] and [`ProgramStartError::NotExecutable`].
pub fn find(name: &str, path: &str, workdir: &Path) -> Result<PathBuf, ProgramStartError> {
    if name.is_empty() {
        return Err(ProgramStartError::NotFound("(an empty name)".to_owned()));
    }
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![workdir.join(name)]
    } else {
        // An empty element of PATH is the working directory (POSIX, XBD 8.3).
        path.split(':')
            .map(|directory| workdir.join(directory).join(name))
            .collect()
    };
    let mut refused = None;
    for candidate in candidates {
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(None) => {}
            Err(Some(reason)) => {
                refused.get_or_insert(ProgramStartError::NotExecutable {
                    path: candidate.display().to_string(),
                    reason: reason.to_owned(),
                });
            }
        }
    }
    Err(refused.unwrap_or_else(|| ProgramStartError::NotFound(name.to_owned())))
}

/// `Err(None)` when there is no file, otherwise why it cannot be executed.
fn executable(file: &Path) -> Result<(), Option<&'static str>> {
    let Ok(found) = fs::metadata(file) else {
        return Err(None);
    };
    if found.is_dir() {
        Err(Some("it is a directory"))
    } else if !found.is_file() {
        Err(Some("it is no regular file"))
    } else if found.permissions().mode() & 0o111 == 0 {
        Err(Some("permission denied"))
    } else {
        Ok(())
    }
}

/// Whether the kernel can execute the file by what it begins with. Asked beforehand because execvp(3)
/// would hand anything else to a shell, which calls the bytes of a foreign binary "not found".
fn has_known_format(file: &Path) -> bool {
    let mut start = [0; 4];
    let length = regular::open(file).and_then(|mut file| file.read(&mut start));
    match length {
        Ok(length) => start[..length].starts_with(b"#!") || start[..length] == *b"\x7fELF",
        // Executable but unreadable is allowed, and what has become something else is refused: exec will tell.
        Err(_) => true,
    }
}

/// Starts the program as leader of a session, with pipes or a terminal for its standard streams and nothing else
/// of init's. The request was found to be valid ([`cki_session::Run::check`]).
///
/// # Errors
/// [`ProgramStartError`], after which no process is left.
pub fn start(process: &Process) -> Result<Started, ProgramStartError> {
    let (name, arguments) = process
        .argv
        .split_first()
        .ok_or_else(|| ProgramStartError::NotFound("(no name at all)".to_owned()))?;
    let workdir = Path::new(process.workdir.as_deref().unwrap_or("/"));
    let wrong_workdir = |source| ProgramStartError::WorkingDirectory {
        path: workdir.display().to_string(),
        source,
    };
    if !fs::metadata(workdir).map_err(wrong_workdir)?.is_dir() {
        return Err(wrong_workdir(io::Error::from_raw_os_error(libc::ENOTDIR)));
    }

    let user = process.user.as_ref();
    let account = user.map(|user| account::find(Path::new("/"), user));
    let account = account.transpose()?;
    let home = account.as_ref().map_or("/root", |account| &account.home);
    let environment = environment(process, home);
    let file = find(name, &environment["PATH"], workdir)?;
    let path = file.display().to_string();
    if !has_known_format(&file) {
        return Err(ProgramStartError::NotExecutable {
            path,
            reason: "neither an ELF program nor a script with #!".to_owned(),
        });
    }
    let mut command = Command::new(&file);
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(&environment)
        .current_dir(workdir);
    as_session_leader(with_fresh_signals(&mut command));
    let terminal =
        connect(&mut command, process, account.as_ref()).map_err(ProgramStartError::Terminal)?;
    restrict(
        &mut command,
        &process.ulimits,
        &process.capabilities,
        account.as_ref(),
    );
    let child = command
        .spawn()
        .map_err(|source| match source.raw_os_error() {
            Some(LIMIT_REFUSED) => {
                let limits = process.ulimits.iter().map(ToString::to_string);
                ProgramStartError::Limit(limits.collect::<Vec<_>>().join(", "))
            }
            // The file is there, so what is missing is what its first line or PT_INTERP names.
            Some(libc::ENOENT) => ProgramStartError::NotExecutable {
                path,
                reason: "its interpreter is missing".to_owned(),
            },
            Some(libc::EACCES | libc::EPERM | libc::ENOEXEC | libc::ELIBBAD | libc::EINVAL) => {
                ProgramStartError::NotExecutable {
                    path,
                    reason: source.to_string(),
                }
            }
            _ => ProgramStartError::Start { path, source },
        })?;
    Ok(Started { child, terminal })
}

/// Connects the program's standard streams: to a terminal if it is to have one, to pipes otherwise.
fn connect(
    command: &mut Command,
    process: &Process,
    account: Option<&Identity>,
) -> io::Result<Option<Pty>> {
    let Some(size) = process.terminal else {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        return Ok(None);
    };
    let pty = Pty::open(size)?;
    if let Some(account) = account {
        pty.give_to(account.uid)?;
    }
    command
        .stdin(pty.program()?)
        .stdout(pty.program()?)
        .stderr(pty.program()?);
    with_terminal(command);
    Ok(Some(pty))
}
