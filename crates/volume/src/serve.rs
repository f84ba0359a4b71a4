// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process of a volume.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::passthrough::{CachePolicy, Config, PassthroughFs};
use fuse_backend_rs::transport::{FuseBuf, FuseDevWriter, Reader, Writer};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe2};

use crate::message::{self, MESSAGE_MAX};
use crate::sandbox::{self, SandboxError, Users};
use crate::words::{NOT_A_DIRECTORY, READY, SERVE};

/// How long the container may take names and attributes for granted. Others change the directory too.
const REMEMBERED: Duration = Duration::from_secs(1);

/// There is no volume.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("{0}")]
    Directory(io::Error),
    #[error("{NOT_A_DIRECTORY}")]
    NotADirectory,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("cannot serve it: {0}")]
    Serve(io::Error),
}

/// Serves a directory on the socket that is standard input, until that ends, if the command line says so as
/// [`crate::client::start`] has it. To be asked by the program's only thread before it does anything else.
#[must_use]
pub fn if_asked() -> Option<ExitCode> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [command, access, directory] = &words[..] else {
        return None;
    };
    if command != SERVE {
        return None;
    }
    let code = run(Path::new(directory), access == "ro").unwrap_or_else(|error| {
        // If nobody listens any more, nobody wants to know.
        let _ = writeln!(io::stdout(), "{error}");
        ExitCode::FAILURE
    });
    Some(code)
}

fn run(directory: &Path, is_read_only: bool) -> Result<ExitCode, ServeError> {
    let users = Users::ours();
    sandbox::close_others()?;
    sandbox::leave(users)?;
    // SAFETY: the process has one thread, so the child is a whole copy of it.
    match unsafe { fork() }.map_err(|error| ServeError::Serve(error.into()))? {
        ForkResult::Child => {
            // The parent does nothing but wait, so whoever ends it means the volume.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
                .map_err(|error| ServeError::Serve(error.into()))?;
            // By now, because a mount of another namespace is no use here.
            let directory = open(directory).map_err(|error| match error.kind() {
                ErrorKind::NotADirectory => ServeError::NotADirectory,
                _ => ServeError::Directory(error),
            })?;
            sandbox::enter(directory, is_read_only)?;
            serve(users)?;
            Ok(ExitCode::SUCCESS)
        }
        ForkResult::Parent { child } => Ok(match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }),
    }
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(directory)
        .map(OwnedFd::from)
}

/// Serves what is in the sandbox until the socket ends.
fn serve(users: Users) -> Result<(), ServeError> {
    let config = Config {
        root_dir: sandbox::DIRECTORY.to_owned(),
        entry_timeout: REMEMBERED,
        attr_timeout: REMEMBERED,
        cache_policy: CachePolicy::Auto,
        xattr: true,
        killpriv_v2: true,
        // What is written through the container's cache is written through ours.
        allow_direct_io: false,
        ..Config::default()
    };
    let files = PassthroughFs::<()>::new(config).map_err(ServeError::Serve)?;
    // Finds out whether the directory can be read at all, and takes the umask off.
    files.import().map_err(ServeError::Serve)?;
    let server = Server::new(files);
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(ServeError::Serve)?;
    let mut greeting = Greeting::new().map_err(ServeError::Serve)?;
    sandbox::confine()?;
    io::stdout()
        .write_all(READY.as_bytes())
        .and_then(|()| io::stdout().flush())
        .map_err(ServeError::Serve)?;

    let mut stream = File::from(socket);
    let mut request = Vec::with_capacity(MESSAGE_MAX);
    let mut reply = vec![0; MESSAGE_MAX];
    while message::read_request(&mut stream, &mut request)
        .map_err(ServeError::Serve)?
        .is_some()
    {
        message::limit_data(&mut request);
        message::clear_set_id(&mut request);
        if users == Users::One {
            message::come_from_root(&mut request);
        }
        let is_init = message::is_init(&request);
        let to = match is_init {
            true => greeting.to.as_raw_fd(),
            false => stream.as_raw_fd(),
        };
        let broken =
            |error: fuse_backend_rs::transport::Error| ServeError::Serve(io::Error::other(error));
        let reader = Reader::<()>::from_fuse_buffer(FuseBuf::new(&mut request)).map_err(broken)?;
        let writer = FuseDevWriter::new(to, &mut reply).map_err(broken)?;
        // It answers what it refuses; an error is a malformed message, or a socket that has ended.
        server
            .handle_message(reader, Writer::FuseDev(writer), None, None)
            .map_err(|error| ServeError::Serve(io::Error::other(error.to_string())))?;
        if is_init {
            let reply = greeting.reply(&request).map_err(ServeError::Serve)?;
            stream.write_all(&reply).map_err(ServeError::Serve)?;
        }
    }
    Ok(())
}

/// A pipe by way of which the reply to FUSE_INIT goes, so that it can be changed.
struct Greeting {
    from: File,
    to: OwnedFd,
}

impl Greeting {
    fn new() -> io::Result<Self> {
        // There is a reply when it is asked for, or never.
        let (from, to) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Greeting {
            from: from.into(),
            to,
        })
    }

    fn reply(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut reply = vec![0; 4096];
        let length = self.from.read(&mut reply)?;
        reply.truncate(length);
        message::accept_more(request, &mut reply);
        Ok(reply)
    }
}
