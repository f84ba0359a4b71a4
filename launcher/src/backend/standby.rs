// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program that is started when it is first needed.
//!
//! Once its jail is closed, the launcher starts nothing any more. So a process waits outside: our own program,
//! executed anew, which has one end of a socket, a standard error and nothing else of ours, neither memory nor
//! files; it is our user's, as the program that is wanted is until that gives up what it does not need. It looks at
//! no byte of what comes. As soon as there is one, it becomes that program, which finds all of them in the
//! socket; it ends when the socket's other end is closed.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, Command, ExitCode, Stdio};

use cki_volume::sandbox;
use command_fds::{CommandFdExt as _, FdMapping};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::socket::{MsgFlags, recv};

/// Our own program, for what runs in a process of its own.
pub const OURSELVES: &str = "/proc/self/exe";
/// The first word for a program that is to wait ([`if_asked`]).
const WAIT: &str = "start-when-needed";
/// The socket's number in the program that is wanted.
pub const SOCKET: i32 = 3;

/// The program with its socket, without an environment, and with nothing to read or to write to.
///
/// # Errors
/// When the socket cannot be passed on.
pub fn command<W: AsRef<OsStr>>(
    program: &Path,
    words: impl IntoIterator<Item = W>,
    socket: OwnedFd,
) -> io::Result<Command> {
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
        .fd_mappings(vec![FdMapping {
            parent_fd: socket,
            child_fd: SOCKET,
        }])
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(command)
}

/// Has `ourselves`, a program that asks [`if_asked`] first of all, wait for the first byte in `socket`, and then
/// execute `program` by [`command`]. What is returned is that program's standard error.
///
/// # Errors
/// When the process cannot be started.
pub fn start(
    ourselves: &Path,
    program: &Path,
    words: &[String],
    socket: OwnedFd,
) -> io::Result<ChildStderr> {
    let mut child = Command::new(ourselves)
        // A key of the user's terminal is for the container.
        .process_group(0)
        .arg(WAIT)
        .arg(program)
        .args(words)
        .env_clear()
        .current_dir("/")
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // Nobody takes its status: the jail lets us wait for nobody, and it ends when we do.
    child
        .stderr
        .take()
        .ok_or_else(|| io::ErrorKind::Other.into())
}

/// Waits on the socket that is standard input, if the command line says so as [`start`] has it. To be asked by the
/// program's only thread before it does anything else.
#[must_use]
pub fn if_asked() -> Option<ExitCode> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [command, program, words @ ..] = &words[..] else {
        return None;
    };
    if command != WAIT {
        return None;
    }
    let program = Path::new(program);
    let code = wait(program, words).unwrap_or_else(|error| {
        // If nobody listens any more, nobody wants to know.
        let _ = writeln!(io::stderr(), "cannot start {}: {error}", program.display());
        ExitCode::FAILURE
    });
    Some(code)
}

/// Waits, and executes the program. Returns when the other end was closed first, or when something has failed.
fn wait(program: &Path, words: &[OsString]) -> io::Result<ExitCode> {
    sandbox::close_others().map_err(io::Error::other)?;
    // By executing a file neither this process nor the program gets more rights than this one has.
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    if !has_come(&socket)? {
        return Ok(ExitCode::SUCCESS);
    }
    Err(command(program, words, socket)?.exec())
}

/// Whether something comes, which stays there, before the end does.
fn has_come(socket: &OwnedFd) -> io::Result<bool> {
    loop {
        match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {}
            // The other end was closed with something of ours in it, or at once.
            Err(Errno::ECONNRESET) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}
