// SPDX-License-Identifier: MIT OR Apache-2.0

//! Init of a machine that stays up (`cki_session::Serve`): sets it up, and has a process serve each place, another
//! when that has ended.
//!
//! Each place is a process because its client may take as long as it likes to take what it is told, and because what it
//! has started must end with it: all of it is in one control group.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use cki_session::{Event, Failure, Hello, Outcome, ProcessId, Request, Serve, port};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::channel::{Channel, ChannelError};
use crate::group::Group;
use crate::inheritance::with_fresh_signals;
use crate::session::{CONTROL_PATIENCE, ServeError};
use crate::{machine, modules, mounts, names, net, ports, process, runtime};

/// Modules for disks that come and go, each after those that it needs.
const MODULES: [&str; 4] = ["scsi_common", "scsi_mod", "sd_mod", "virtio_scsi"];
/// The word that makes init serve a place instead of a machine.
pub const PLACE: &str = "place";
/// A process of a place that could not serve is followed by another after this time.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until whoever keeps the machine up ends it or has gone.
///
/// # Errors
/// [`ServeError`] when that one cannot be told what went wrong.
pub fn run(release: &str) -> Result<(), ServeError> {
    let control = ports::open(Path::new("/sys"), Path::new("/dev"), port::MACHINE)?;
    if !ports::is_connected(&control, CONTROL_PATIENCE) {
        return Err(ChannelError::Closed.into());
    }
    let mut control = Channel::new(control);
    control.send(&Event::Hello(Hello::new(&[], release)))?;
    let outcome = match serve(&mut control, release) {
        Ok(()) => Outcome::Exited(0),
        Err(ServeError::Channel(error)) => return Err(error.into()),
        Err(error) => Outcome::Failed(Failure::new(error.kind(), error.to_string())),
    };
    let id = ProcessId::MAIN;
    Ok(control.send(&Event::Ended { id, outcome })?)
}

fn serve(control: &mut Channel, release: &str) -> Result<(), ServeError> {
    let serve = match control.wait_for_messages()?.pop_front() {
        Some(Ok(Request::Serve(serve))) => *serve,
        Some(Err(why)) => return Err(ServeError::Refused(why)),
        _ => {
            let why = "another request before `serve`".to_owned();
            return Err(ServeError::Refused(why));
        }
    };
    serve.check()?;
    set_up(&serve, release)?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    let children = mask
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .map_err(io::Error::from)
        .map_err(ServeError::system("cannot make a signalfd"))?;
    let mut places = (0..serve.places)
        .map(Server::start)
        .collect::<io::Result<Vec<_>>>()
        .map_err(ServeError::system("cannot start a process for a place"))?;
    loop {
        let mut fds = [
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(ServeError::system("cannot poll")(error.into())),
        }
        let asked = fds[0].revents().is_some_and(|seen| !seen.is_empty());
        while let Ok(Some(_)) = children.read_signal() {}
        while let Some((pid, status)) = process::reap() {
            if let Some(server) = places.iter_mut().find(|server| server.pid == pid) {
                server
                    .restart(status)
                    .map_err(ServeError::system("cannot start a process for a place"))?;
            }
        }
        if !asked {
            continue;
        }
        for request in control.receive()? {
            let message = match request {
                Ok(Request::Stop { grace_ms }) => {
                    let grace = Duration::from_millis(grace_ms.into());
                    stop(&places, &children, grace);
                    return Ok(());
                }
                Ok(_) => "this port takes `stop` only".to_owned(),
                Err(why) => why,
            };
            control.send(&Event::Refused { message })?;
        }
    }
}

/// What all places share: file systems, the network card, drivers of disks, and what containers are run with.
fn set_up(serve: &Serve, release: &str) -> Result<(), ServeError> {
    mounts::mount_kernel_filesystems(Path::new("/"))?;
    let card = serve.interface.as_ref();
    card.map_or(Ok(()), net::set_up)?;
    names::set(Path::new("/etc"), "cki", card)
        .map_err(ServeError::system("cannot set the names of hosts"))?;
    let directory = Path::new("/lib/modules").join(release.trim());
    for module in MODULES {
        let file = directory.join(format!("kernel/drivers/scsi/{module}.ko"));
        modules::load(&file, "").map_err(ServeError::system("cannot load the drivers of disks"))?;
    }
    runtime::start(serve.pool)?;
    runtime::offer_commands().map_err(ServeError::system("cannot link the command cki"))
}

/// Asks all programs to end, and gives them time for it.
fn stop(places: &[Server], children: &SignalFd, grace: Duration) {
    for server in places {
        // A place without a session ends at once.
        let _ = process::terminate(server.pid);
    }
    let start = Instant::now();
    let mut left: Vec<_> = places.iter().map(|server| server.pid).collect();
    while !left.is_empty() && start.elapsed() < grace {
        while let Some((pid, _)) = process::reap() {
            left.retain(|&other| other != pid);
        }
        let rest = grace.saturating_sub(start.elapsed());
        let time = PollTimeout::try_from(rest.min(PAUSE)).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(children.as_fd(), PollFlags::POLLIN)];
        // Whatever it says, the next look at the children tells.
        let _ = poll(&mut fds, time);
        while let Ok(Some(_)) = children.read_signal() {}
    }
    for server in places {
        server.group.kill();
    }
}

/// The process that serves a place.
struct Server {
    place: u32,
    group: Group,
    pid: i32,
}

impl Server {
    fn start(place: u32) -> io::Result<Self> {
        let group = Group::of_place(place);
        group.create()?;
        let pid = spawn(place)?;
        Ok(Self { place, group, pid })
    }

    /// Ends what the last one has left, and starts another.
    fn restart(&mut self, status: ExitStatus) -> io::Result<()> {
        if !self.group.kill() {
            machine::report(&format!("processes of place {} do not end", self.place));
        }
        let is_usual = status.code() == Some(0) || status.signal() == Some(libc::SIGTERM);
        if !is_usual {
            machine::report(&format!("place {} was served badly: {status}", self.place));
            std::thread::sleep(PAUSE);
        }
        self.pid = spawn(self.place)?;
        Ok(())
    }
}

/// This program, serving a place. It puts itself into the group.
fn spawn(place: u32) -> io::Result<i32> {
    let mut command = Command::new("/proc/self/exe");
    command.args([PLACE, &place.to_string()]).env_clear();
    let child = with_fresh_signals(&mut command).spawn()?;
    Ok(process::id(&child))
}
