// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one program of the application image, run for the host.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use cki_session::{
    APP_SERIAL, Container, FailureKind, GuestMessage, HostMessage, Isolation, Run, VERSION, port,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::container::{self, Launcher};
use crate::control::{Control, ControlError};
use crate::image::{self, ImageError};
use crate::mounts::{self, MountError};
use crate::oom::KernelLog;
use crate::ports::{self, PortError};
use crate::process;
use crate::program::{self, ProgramError};
use crate::pump::{Pump, non_blocking};
use crate::runtime::{self, RuntimeError};

/// How long the host may take to connect a stream after it sent `run`; it connects all of them
/// before it starts the machine, so only the kernel's own message can be under way.
const STREAM_PATIENCE: Duration = Duration::from_millis(50);
/// How long the host may take to connect the control port.
const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

/// Why a session did not get as far as the program's end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The application image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A file system of the kernel in the image.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What containers are run with.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The host's end of the control port.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A first message that is not `run`, or a second `run`.
    #[error("the host sent {0}")]
    OutOfOrder(&'static str),
    /// Anything else, with what was tried.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl SessionError {
    /// How the host is to understand it.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Image(_) => FailureKind::Image,
            Self::Program(error) => error.kind(),
            _ => FailureKind::Internal,
        }
    }

    fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Runs a whole session: from `hello` to the last message, which the host has taken on return.
///
/// `/proc`, `/sys` and `/dev` must be mounted. Whatever goes wrong once the control port is open
/// is told to the host.
///
/// # Errors
/// [`SessionError`] when the host cannot be told: the control port is missing or closed.
pub fn run() -> Result<(), SessionError> {
    let (sysfs, dev) = (Path::new("/sys"), Path::new("/dev"));
    let control = ports::open(sysfs, dev, port::CONTROL)?;
    if !ports::is_connected(&control, CONTROL_PATIENCE) {
        return Err(ControlError::Closed.into());
    }
    let mut control = Control::new(control);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_err(SessionError::system("cannot read the kernel's release"))?;
    control.send(&GuestMessage::Hello {
        version: VERSION,
        kernel: kernel.trim().to_owned(),
    })?;

    let last = match Streams::open(sysfs, dev).and_then(|streams| serve(&mut control, streams)) {
        Ok(last) => last,
        Err(SessionError::Control(error @ (ControlError::Closed | ControlError::Io(_)))) => {
            return Err(error.into());
        }
        Err(error) => GuestMessage::Failed {
            message: error.to_string(),
            kind: error.kind(),
        },
    };
    Ok(control.send(&last)?)
}

/// The ports of the program's standard streams, and the kernel log; opened before the image hides
/// init's own `/dev`.
struct Streams {
    stdin: File,
    stdout: File,
    stderr: File,
    log: KernelLog,
}

impl Streams {
    fn open(sysfs: &Path, dev: &Path) -> Result<Self, SessionError> {
        Ok(Self {
            stdin: ports::open(sysfs, dev, port::STDIN)?,
            stdout: ports::open(sysfs, dev, port::STDOUT)?,
            stderr: ports::open(sysfs, dev, port::STDERR)?,
            log: KernelLog::open(dev).map_err(SessionError::system("cannot open /dev/kmsg"))?,
        })
    }
}

/// Starts what the host names, and serves it to its end; the last message.
fn serve(control: &mut Control, streams: Streams) -> Result<GuestMessage, SessionError> {
    let disk = image::find_disk(Path::new("/sys"), Path::new("/dev"), APP_SERIAL)?;
    let mut messages = control.wait_for_messages()?;
    let Some(HostMessage::Run(request)) = messages.pop_front() else {
        return Err(SessionError::OutOfOrder("another message before run"));
    };

    // Blocked before there is a child, so that no SIGCHLD is lost; programs start with none blocked.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    let children = mask
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .map_err(io::Error::from)
        .map_err(SessionError::system("cannot make a signalfd"))?;

    let (child, launcher) = match &request.container {
        None => (start_here(&request, &disk)?, None),
        Some(wanted) => {
            let (child, launcher) = start_container(&request, wanted, &disk)?;
            (child, Some(launcher))
        }
    };
    if launcher.is_none() {
        control.send(&GuestMessage::Started {
            pid: process::id(&child),
            isolation: Isolation::None,
        })?;
    }
    let mut session = Session::new(child, launcher, streams)?;
    loop {
        for message in messages {
            session.obey(message)?;
        }
        if session.is_over() {
            return Ok(session.last_message());
        }
        let seen = session.wait(control.as_fd(), children.as_fd())?;
        if let Some(started) = seen.started {
            control.send(&started)?;
        }
        if seen.children {
            while let Ok(Some(_)) = children.read_signal() {}
            session.reap();
        }
        messages = if seen.control {
            control.receive()?
        } else {
            Default::default()
        };
    }
}

/// The program as a process of this machine, in its image.
fn start_here(request: &Run, disk: &Path) -> Result<Child, SessionError> {
    image::enter(disk)?;
    mounts::mount_kernel_filesystems(Path::new("/"))?;
    if let Some(pool_mib) = request.pool_mib {
        runtime::start(pool_mib)?;
        runtime::offer_commands().map_err(SessionError::system("cannot link the command cki"))?;
    }
    set_names(request)?;
    Ok(program::start(request)?)
}

/// The launcher of a container with the program in it.
fn start_container(
    request: &Run,
    wanted: &Container,
    disk: &Path,
) -> Result<(Child, Launcher), SessionError> {
    mounts::mount_kernel_filesystems(Path::new("/"))?;
    runtime::start(wanted.memory_mib)?;
    container::start(request, wanted, disk).map_err(SessionError::system(
        "cannot start the launcher of the container",
    ))
}

/// The host name, in the kernel and in an image that has no `/etc/hosts` of its own.
fn set_names(request: &Run) -> Result<(), SessionError> {
    nix::unistd::sethostname(&request.hostname)
        .map_err(io::Error::from)
        .map_err(SessionError::system("cannot set the host name"))?;
    let hosts = Path::new("/etc/hosts");
    if !hosts.exists() {
        let text = format!(
            "127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost\n",
            request.hostname
        );
        mounts::make_directory(Path::new("/etc"), 0o755)
            .and_then(|()| fs::write(hosts, text))
            .map_err(SessionError::system("cannot write /etc/hosts"))?;
    }
    Ok(())
}

/// Which of the session's own descriptors have something to read.
struct Seen {
    control: bool,
    children: bool,
    /// The launcher's word that the program was started.
    started: Option<GuestMessage>,
}

/// A started program.
struct Session {
    pid: i32,
    /// Standard input, output, error.
    pumps: [Pump; 3],
    ended: Option<ExitStatus>,
    log: KernelLog,
    /// What runs the program, unless it is a process of this machine.
    launcher: Option<Launcher>,
}

impl Session {
    fn new(
        mut child: Child,
        launcher: Option<Launcher>,
        mut streams: Streams,
    ) -> Result<Self, SessionError> {
        let what = SessionError::system("cannot use the program's pipes");
        let pipe = |end: Option<OwnedFd>| {
            let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
            end.and_then(non_blocking).map_err(&what)
        };
        let stdin = pipe(child.stdin.take().map(OwnedFd::from))?;
        let stdout = pipe(child.stdout.take().map(OwnedFd::from))?;
        let stderr = pipe(child.stderr.take().map(OwnedFd::from))?;
        // A stream that stays unconnected is one that the host closed at once: `</dev/null` is
        // end of file, and the program gets SIGPIPE when it writes to a closed output.
        for port in [&streams.stdin, &streams.stdout, &streams.stderr] {
            let _ = ports::is_connected(port, STREAM_PATIENCE);
        }
        // What the log has said until now is about nobody in this session.
        streams.log.says_killed(0);
        Ok(Self {
            pid: process::id(&child),
            pumps: [
                Pump::new(streams.stdin, stdin),
                Pump::new(stdout, streams.stdout),
                Pump::new(stderr, streams.stderr),
            ],
            ended: None,
            log: streams.log,
            launcher,
        })
    }

    fn obey(&mut self, message: HostMessage) -> Result<(), SessionError> {
        match message {
            HostMessage::Signal { signal } if self.ended.is_none() => {
                match process::signal_group(self.pid, signal) {
                    // The group can be gone while its leader waits to be reaped.
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                        Err(SessionError::system("cannot send the signal")(error))
                    }
                    _ => Ok(()),
                }
            }
            HostMessage::Signal { .. } => Ok(()),
            HostMessage::Run(_) => Err(SessionError::OutOfOrder("run twice")),
        }
    }

    /// Waits for something to do, and does what concerns the streams.
    fn wait(
        &mut self,
        control: BorrowedFd<'_>,
        children: BorrowedFd<'_>,
    ) -> Result<Seen, SessionError> {
        let mut fds = vec![
            PollFd::new(control, PollFlags::POLLIN),
            PollFd::new(children, PollFlags::POLLIN),
        ];
        let launcher = self.launcher.as_ref().and_then(Launcher::channel);
        let own = fds.len() + usize::from(launcher.is_some());
        fds.extend(launcher.map(|channel| PollFd::new(channel, PollFlags::POLLIN)));
        let mut polled = Vec::with_capacity(self.pumps.len());
        for (index, pump) in self.pumps.iter().enumerate() {
            if let Some((fd, flags)) = pump.interest() {
                fds.push(PollFd::new(fd, flags));
                polled.push(index);
            }
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(SessionError::system("cannot poll")(error.into())),
        }
        let seen: Vec<PollFlags> = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        for (index, &flags) in polled.into_iter().zip(&seen[own..]) {
            if !flags.is_empty() {
                self.pumps[index].advance(flags);
            }
        }
        let said = own > 2 && !seen[2].is_empty();
        Ok(Seen {
            control: !seen[0].is_empty(),
            children: !seen[1].is_empty(),
            started: self
                .launcher
                .as_mut()
                .filter(|_| said)
                .and_then(Launcher::listen),
        })
    }

    fn reap(&mut self) {
        while let Some((pid, status)) = process::reap() {
            if pid == self.pid && self.ended.is_none() {
                self.ended = Some(status);
                // What the program left behind would keep its output open for ever.
                process::kill_everything();
            }
        }
    }

    /// The program has ended and the host has all its output.
    fn is_over(&self) -> bool {
        self.ended.is_some() && self.pumps[1..].iter().all(Pump::is_done)
    }

    fn last_message(mut self) -> GuestMessage {
        let status = self.ended.unwrap_or_default();
        if let Some(launcher) = self.launcher {
            return launcher.last_message(status);
        }
        match status.signal() {
            Some(signal) => GuestMessage::Signaled {
                signal,
                oom: signal == libc::SIGKILL && self.log.says_killed(self.pid),
            },
            None => GuestMessage::Exited {
                status: status.code().unwrap_or_default(),
            },
        }
    }
}
