// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one program of the application image, run for a client.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cki_session::{
    APP_SERIAL, Event, Failure, Hello, Isolation, Outcome, ProcessId, Request, Run, port,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::channel::{Channel, ChannelError, Heard};
use crate::container::{self, Launcher};
use crate::disks::Disks;
use crate::exec::{self, Execs};
pub use crate::failure::ServeError;
use crate::group::Group;
use crate::image;
use crate::mounts;
use crate::names;
use crate::net;
use crate::oom::KernelLog;
use crate::place::Place;
use crate::ports;
use crate::process;
use crate::program::{self, Started};
use crate::root;
use crate::running::{Ends, Running};
use crate::runtime;

/// How long the host may take to connect a stream after it sent `run`; it connects all of them
/// before it starts the machine, so only the kernel's own message can be under way.
const STREAM_PATIENCE: Duration = Duration::from_millis(50);
/// How long the host may take to connect the control port.
pub(crate) const CONTROL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a disk that was plugged in may take to be seen.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a whole session: from `hello` to `ended`, which the client has taken on return.
///
/// `/proc`, `/sys` and `/dev` must be mounted. Whatever goes wrong once the control port is open
/// is told to the client.
///
/// # Errors
/// [`ServeError`] when the client cannot be told: the control port is missing or closed.
pub fn run(place: Place) -> Result<(), ServeError> {
    run_as(place, None)
}

/// As [`run`]; `generation` tells the processes that serve a place one after another apart.
fn run_as(place: Place, generation: Option<u64>) -> Result<(), ServeError> {
    let (sysfs, dev) = (Path::new("/sys"), Path::new("/dev"));
    let control = ports::open(sysfs, dev, &place.port(port::CONTROL))?;
    match place {
        Place::Shared(_) => ports::wait_for_host(&control)
            .map_err(ServeError::system("cannot wait for a client"))?,
        _ if ports::is_connected(&control, CONTROL_PATIENCE) => {}
        _ => return Err(ChannelError::Closed.into()),
    }
    let mut control = Channel::new(control);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_err(ServeError::system("cannot read the kernel's release"))?;
    control.send(&Event::Hello(Hello {
        generation,
        ..Hello::new(&place.features(), &kernel)
    }))?;

    let mut id = ProcessId::MAIN;
    let served = Streams::open(sysfs, dev, place)
        .and_then(|streams| serve(&mut control, streams, place, &mut id, &kernel));
    let outcome = match served {
        Ok(outcome) => outcome,
        Err(error) if error.is_end_of_client() => return Err(error),
        Err(error) => Outcome::Failed(Failure::new(error.kind(), error.to_string())),
    };
    let told = control.send(&Event::Ended { id, outcome });
    if !place.is_emulated() {
        return Ok(told?);
    }
    match told {
        // The client closes the port once it has heard this and has all output.
        Ok(()) => while control.wait_for_messages::<Request>().is_ok() {},
        // It may have done so before it was seen that it has taken the message.
        Err(ChannelError::Closed) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Serves one session in a place of a machine that stays up, as the how manieth process to do so.
///
/// # Errors
/// [`ServeError`].
pub fn serve_place(place: u32, generation: u64) -> Result<(), ServeError> {
    Group::of_place(place)
        .join()
        .map_err(ServeError::system("cannot enter the control group"))?;
    run_as(Place::Shared(place), Some(generation))
}

/// The ports of the program's standard streams, and the kernel log; opened before the image hides
/// init's own `/dev`.
struct Streams {
    ends: Ends,
    log: KernelLog,
}

impl Streams {
    fn open(sysfs: &Path, dev: &Path, place: Place) -> Result<Self, ServeError> {
        let port = |name| ports::open(sysfs, dev, &place.port(name));
        Ok(Self {
            ends: Ends {
                stdin: port(port::STDIN)?,
                stdout: port(port::STDOUT)?,
                stderr: port(port::STDERR)?,
            },
            log: KernelLog::open(dev).map_err(ServeError::system("cannot open /dev/kmsg"))?,
        })
    }

    /// Waits until the client's ends are connected. A stream that stays unconnected is one that the host closed at
    /// once: `</dev/null` is end of file, and the program gets SIGPIPE when it writes to a closed output.
    fn wait(&self) {
        for port in [&self.ends.stdin, &self.ends.stdout, &self.ends.stderr] {
            let _ = ports::is_connected(port, STREAM_PATIENCE);
        }
    }
}

/// Starts what the client names, whose id is put in `id`, and serves it to its end.
fn serve(
    control: &mut Channel,
    streams: Streams,
    place: Place,
    id: &mut ProcessId,
    kernel: &str,
) -> Result<Outcome, ServeError> {
    let mut requests = control.wait_for_messages()?;
    let run = match requests.pop_front() {
        Some(Ok(Request::Run(run))) => *run,
        Some(Err(why)) => return Err(ServeError::Refused(why)),
        _ => {
            return Err(ServeError::Refused(
                "another request before `run`".to_owned(),
            ));
        }
    };
    *id = run.id;
    run.check()?;
    if let Some(name) = run.unsupported(&place.features()) {
        return Err(ServeError::Refused(format!(
            "init does not support `{name}`"
        )));
    }

    // Blocked before there is a child, so that no SIGCHLD is lost.
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    if let Place::Shared(_) = place {
        // Of the machine's init, which is about to end it.
        mask.add(Signal::SIGTERM);
    }
    let children = mask
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .map_err(io::Error::from)
        .map_err(ServeError::system("cannot make a signalfd"))?;

    let disks = Disks::open(Path::new("/sys"), Path::new("/dev"))
        .map_err(ServeError::system("cannot open the disks"))?;
    streams.wait();
    let (started, launcher) = match (&run.container, &run.exec) {
        (Some(_), _) => with_launcher(start_container(&run, place, &streams.ends)?),
        (None, Some(_)) => with_launcher(start_beside(&run, &streams.ends)?),
        (None, None) => (start_here(&run, place)?, None),
    };
    if launcher.is_none() {
        control.send(&Event::Started {
            id: *id,
            pid: process::id(&started.child),
            isolation: Isolation::None,
        })?;
    }
    let mut session = Session::new(place, run.id, started, launcher, streams, kernel)?;
    loop {
        for request in requests {
            if let Some(refused) = session.obey(request)? {
                control.send(&refused)?;
            }
        }
        if session.main.is_over() {
            let (outcome, output) = session.outcome();
            if place.is_emulated() {
                control.send(&output)?;
            }
            disks.settle().map_err(ServeError::Disks)?;
            return Ok(outcome);
        }
        let seen = session.wait(control.as_fd(), children.as_fd())?;
        for event in seen.events {
            control.send(&event)?;
        }
        if seen.children {
            while let Ok(Some(signal)) = children.read_signal() {
                if signal.ssi_signo == libc::SIGTERM as u32 {
                    session.terminate()?;
                }
            }
            session.reap();
        }
        if let Some(execs) = &mut session.execs {
            execs.settle(&mut session.log);
        }
        requests = if seen.control {
            control.receive()?
        } else {
            Default::default()
        };
    }
}

/// The disk that `run` is about. One that is plugged in just now takes a moment to be seen.
fn disk(run: &Run) -> Result<PathBuf, ServeError> {
    let serial = run.disk.as_deref().unwrap_or(APP_SERIAL);
    let (sysfs, dev) = (Path::new("/sys"), Path::new("/dev"));
    Ok(match run.disk {
        Some(_) => image::wait_for_disk(sysfs, dev, serial, DISK_PATIENCE)?,
        None => image::find_disk(sysfs, dev, serial)?,
    })
}

/// The program as a process of this machine: in its image, unless the machine has other sessions.
fn start_here(run: &Run, place: Place) -> Result<Started, ServeError> {
    if let Place::Shared(_) = place {
        if run.disk.is_some() || !run.root.is_empty() {
            let why = "a machine that stays up has programs of images in containers only";
            return Err(ServeError::Refused(why.to_owned()));
        }
        return Ok(program::start(&run.process)?);
    }
    image::enter(&disk(run)?)?;
    mounts::mount_kernel_filesystems(Path::new("/"))?;
    if let Some(pool) = run.pool {
        runtime::start(pool, None)?;
        runtime::offer_commands().map_err(ServeError::system("cannot link the command cki"))?;
    }
    connect(run)?;
    root::prepare(&run.root)?;
    Ok(program::start(&run.process)?)
}

/// The network of this machine or container, and its name there.
fn connect(run: &Run) -> Result<(), ServeError> {
    let interface = run.interface.as_ref();
    interface.map_or(Ok(()), net::set_up)?;
    let name = run.hostname.as_deref().unwrap_or(Run::HOSTNAME);
    names::set(Path::new("/etc"), name, interface)
        .map_err(ServeError::system("cannot set the names of hosts"))
}

/// The launcher of the container that `run` asks for, with the program in it.
fn start_container(
    run: &Run,
    place: Place,
    ends: &Ends,
) -> Result<(Started, Launcher), ServeError> {
    let disk = disk(run)?;
    // A machine that stays up is set up already.
    if !matches!(place, Place::Shared(_)) {
        mounts::mount_kernel_filesystems(Path::new("/"))?;
        connect(run)?;
        if let Some(container) = &run.container {
            runtime::start(container.memory, None)?;
        }
    }
    container::start(run, &disk, ends).map_err(ServeError::system(
        "cannot start the launcher of the container",
    ))
}

/// The launcher of a process for a container that runs here.
fn start_beside(run: &Run, ends: &Ends) -> Result<(Started, Launcher), ServeError> {
    container::start_beside(run, ends).map_err(ServeError::system("cannot start the launcher"))
}

fn with_launcher((started, launcher): (Started, Launcher)) -> (Started, Option<Launcher>) {
    (started, Some(launcher))
}

/// Which of the session's own descriptors have something to read.
struct Seen {
    control: bool,
    children: bool,
    /// What the launcher says and the client is to know.
    events: Vec<Event>,
}

/// What is waited for, besides the session's own descriptors.
enum Of {
    /// A stream of the program.
    Main(usize),
    /// Something of the others.
    Execs(exec::Source),
}

/// A session that runs.
struct Session {
    place: Place,
    main: Running,
    log: KernelLog,
    /// What runs the program, unless it is a process of this machine.
    launcher: Option<Launcher>,
    /// Other processes beside it, unless it is in a container, whose init has them.
    execs: Option<Execs>,
}

impl Session {
    fn new(
        place: Place,
        id: ProcessId,
        started: Started,
        launcher: Option<Launcher>,
        streams: Streams,
        kernel: &str,
    ) -> Result<Self, ServeError> {
        let Streams { ends, mut log } = streams;
        // What the log has said until now is about nobody in this session.
        log.skip();
        let what = ServeError::system("cannot use the program's streams");
        // A kernel without vsock has no host that could ask for more.
        let execs = match (&launcher, place) {
            (None, Place::Container | Place::Machine) => Execs::listen(kernel).ok(),
            _ => None,
        };
        Ok(Self {
            place,
            main: Running::new(id, started, ends).map_err(what)?,
            log,
            launcher,
            execs,
        })
    }

    /// Carries a request out, or says why not.
    fn obey(&mut self, request: Heard<Request>) -> Result<Option<Event>, ServeError> {
        let refused = match (request, &mut self.launcher) {
            (Ok(request @ (Request::Signal { .. } | Request::Resize { .. })), Some(launcher)) => {
                launcher.ask(&request);
                return Ok(None);
            }
            (Ok(Request::Signal { id, signal }), None) if id == self.main.id() => {
                self.main
                    .signal(signal)
                    .map_err(ServeError::system("cannot send the signal"))?;
                return Ok(None);
            }
            (Ok(Request::Resize { id, terminal }), None) if id == self.main.id() => {
                match self.main.resize(terminal) {
                    Some(Ok(())) => return Ok(None),
                    Some(Err(error)) => format!("cannot resize the terminal: {error}"),
                    None => format!("process {id} has no terminal"),
                }
            }
            (Ok(Request::Signal { id, .. } | Request::Resize { id, .. }), None) => {
                format!("there is no process {id}")
            }
            (Ok(Request::Exec(_)), _) => "`exec` is for connections of its own".to_owned(),
            (Ok(Request::Run(_)), _) => "`run` twice".to_owned(),
            (Ok(Request::Serve(_) | Request::Stop { .. }), _) => {
                "a session takes neither `serve` nor `stop`".to_owned()
            }
            (Err(why), _) => why,
        };
        Ok(Some(Event::Refused { message: refused }))
    }

    /// Waits for something to do, and does what concerns the streams.
    fn wait(
        &mut self,
        control: BorrowedFd<'_>,
        children: BorrowedFd<'_>,
    ) -> Result<Seen, ServeError> {
        // Whoever asks for more than the launcher takes waits.
        let takes_more = self.launcher.as_ref().is_none_or(Launcher::takes_more);
        let mut asks = PollFlags::empty();
        asks.set(PollFlags::POLLIN, takes_more);
        let mut fds = vec![
            PollFd::new(control, asks),
            PollFd::new(children, PollFlags::POLLIN),
        ];
        let launcher = self.launcher.as_ref().and_then(Launcher::interest);
        let own = fds.len() + usize::from(launcher.is_some());
        fds.extend(launcher.map(|(channel, flags)| PollFd::new(channel, flags)));
        let mut polled = Vec::new();
        for (stream, fd, flags) in self.main.interests() {
            fds.push(PollFd::new(fd, flags));
            polled.push(Of::Main(stream));
        }
        for (source, fd, flags) in self.execs.iter().flat_map(Execs::interests) {
            fds.push(PollFd::new(fd, flags));
            polled.push(Of::Execs(source));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(ServeError::system("cannot poll")(error.into())),
        }
        let seen: Vec<PollFlags> = fds
            .iter()
            .map(|fd| fd.revents().unwrap_or(PollFlags::empty()))
            .collect();
        for (what, &flags) in polled.into_iter().zip(&seen[own..]) {
            match (what, &mut self.execs) {
                _ if flags.is_empty() => {}
                (Of::Main(stream), _) => self.main.advance(stream, flags),
                (Of::Execs(source), Some(execs)) => execs.advance(source, flags),
                (Of::Execs(_), None) => {}
            }
        }
        let said = own > 2 && !seen[2].is_empty();
        Ok(Seen {
            control: !seen[0].is_empty(),
            children: !seen[1].is_empty(),
            events: match &mut self.launcher {
                Some(launcher) if said => launcher.listen(),
                _ => Vec::new(),
            },
        })
    }

    fn reap(&mut self) {
        while let Some((pid, status)) = process::reap() {
            if let Some(execs) = &mut self.execs {
                execs.end(pid, status);
            }
            if pid == self.main.pid() && self.main.ended().is_none() {
                self.main.end(status);
                // What the program left behind would keep its output open for ever.
                match self.place {
                    Place::Container | Place::Machine => process::kill_everything(),
                    Place::Shared(place) => {
                        Group::of_place(place).kill_others();
                    }
                }
            }
        }
    }

    /// Has the program get SIGTERM.
    fn terminate(&mut self) -> Result<(), ServeError> {
        let (id, signal) = (self.main.id(), cki_session::Signal::TERM);
        self.obey(Ok(Request::Signal { id, signal })).map(drop)
    }

    /// How the program ended, and how much it has written.
    fn outcome(mut self) -> (Outcome, Event) {
        let status = self.main.ended().unwrap_or_default();
        let (id, (mut stdout, stderr)) = (self.main.id(), self.main.written());
        let outcome = match self.launcher {
            Some(launcher) => {
                // Whoever ends a container at once kills it (`cki kill`).
                let is_the_end = matches!(self.place, Place::Shared(_));
                let (outcome, direct) = launcher.outcome(status, is_the_end);
                stdout += direct;
                outcome.unwrap_or_else(|| self.main.outcome(&mut self.log))
            }
            None => self.main.outcome(&mut self.log),
        };
        let output = Event::Output { id, stdout, stderr };
        (outcome, output)
    }
}
