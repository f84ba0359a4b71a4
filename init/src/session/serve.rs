// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one program of the application image, run for a client.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use cki_session::{Event, Failure, Hello, Isolation, Outcome, ProcessId, Request, port};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::channel::{Channel, ChannelError};
use crate::program::group::Group;
use crate::program::oom::KernelLog;
use crate::program::process;
use crate::program::running::Ends;
use crate::session::Session;
use crate::session::exec::Execs;
use crate::session::failure::ServeError;
use crate::session::place::Place;
use crate::session::{clock, start};
use crate::system::disks::Disks;
use crate::system::ports;

/// How long the host may take to connect a stream after it sent `run`; it connects all of them
/// before it starts the machine, so only the kernel's own message can be under way.
const STREAM_PATIENCE: Duration = Duration::from_millis(50);
/// How long the host may take to connect the control port.
pub(crate) const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

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

/// Serves one session in a place of a machine that stays up, by the process of this number that does.
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
    let mut requests = match place.is_emulated() {
        true => clock::first_requests(control)?,
        // Its monitor's clock is the host's.
        false => control.wait_for_messages()?,
    };
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
    // Before there is a program that could take their ports.
    let execs = match (&run.container, &run.exec, place) {
        (None, None, Place::Container) => Execs::listen(kernel)?,
        _ => None,
    };
    let (started, launcher) = start::start(&run, place, &streams.ends)?;
    if launcher.is_none() {
        control.send(&Event::Started {
            id: *id,
            pid: process::id(&started.child),
            isolation: Isolation::None,
        })?;
    }
    let Streams { ends, log } = streams;
    let mut session = Session::new(place, run.id, started, launcher, ends, log, execs)?;
    loop {
        for request in requests {
            if let Some(refused) = session.obey(request)? {
                control.send(&refused)?;
            }
        }
        if session.is_over() {
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
        session.settle();
        requests = if seen.control {
            control.receive()?
        } else {
            Default::default()
        };
    }
}
