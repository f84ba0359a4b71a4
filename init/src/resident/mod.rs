// SPDX-License-Identifier: MIT OR Apache-2.0

//! Init of a machine that stays up (`cki_session::Serve`): sets it up, and has a process serve each place, another
//! when that has ended and nothing of it is left.
//!
//! Each place is a process because its client may take as long as it likes to take what it is told, and because what it
//! has started must end with it: all of it is in one control group.
//!
//! | file | what |
//! |---|---|
//! | [`server`] | the processes of a place, one after another |
//! | [`client`] | the client of a place whose process has ended |

pub mod client;
pub mod server;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use cki_session::{Event, Failure, Hello, Outcome, ProcessId, Request, Run, Serve, feature, port};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::channel::{Channel, ChannelError};
use crate::program::process;
use crate::resident::server::Server;
use crate::session::clock;
use crate::session::failure::ServeError;
use crate::session::serve::CONTROL_PATIENCE;
use crate::system::{modules, mounts, names, net, ports, runtime};

/// Modules for disks that come and go, each after those that it needs.
const MODULES: [&str; 4] = ["scsi_common", "scsi_mod", "sd_mod", "virtio_scsi"];
/// Between two looks at what is ending.
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
    control.send(&Event::Hello(Hello::new(&[feature::CLOCK], release)))?;
    let outcome = match serve(&mut control, release) {
        Ok(()) => Outcome::Exited(0),
        Err(ServeError::Channel(error)) => return Err(error.into()),
        Err(error) => Outcome::Failed(Failure::new(error.kind(), error.to_string())),
    };
    let id = ProcessId::MAIN;
    Ok(control.send(&Event::Ended { id, outcome })?)
}

fn serve(control: &mut Channel, release: &str) -> Result<(), ServeError> {
    let serve = match clock::first_requests(control)?.pop_front() {
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
        .map(Server::new)
        .collect::<io::Result<Vec<_>>>()
        .map_err(ServeError::system(
            "cannot make a control group for a place",
        ))?;
    loop {
        for event in places.iter_mut().filter_map(Server::advance) {
            control.send(&event)?;
        }
        let look = places.iter().filter_map(Server::next_look).min();
        let time = look.map_or(PollTimeout::NONE, timeout);
        let mut fds = [
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(ServeError::system("cannot poll")(error.into())),
        }
        let asked = fds[0].revents().is_some_and(|seen| !seen.is_empty());
        while let Ok(Some(_)) = children.read_signal() {}
        while let Some((pid, status)) = process::reap() {
            let of = |server: &&mut Server| server.process() == Some(pid);
            if let Some(server) = places.iter_mut().find(of) {
                server.ended(status);
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
    names::set(Path::new("/etc"), Run::HOSTNAME, card)
        .map_err(ServeError::system("cannot set the names of hosts"))?;
    let directory = Path::new("/lib/modules").join(release.trim());
    for module in MODULES {
        let file = directory.join(format!("kernel/drivers/scsi/{module}.ko"));
        modules::load(&file, "").map_err(ServeError::system("cannot load the drivers of disks"))?;
    }
    runtime::start(serve.pool, None)?;
    runtime::offer_commands().map_err(ServeError::system("cannot link the command cki"))
}

/// Asks all programs to end, and gives them time for it.
fn stop(places: &[Server], children: &SignalFd, grace: Duration) {
    let mut left: Vec<_> = places.iter().filter_map(Server::process).collect();
    for &process in &left {
        // A place without a session ends at once.
        let _ = process::terminate(process);
    }
    let start = Instant::now();
    while !left.is_empty() && start.elapsed() < grace {
        while let Some((pid, _)) = process::reap() {
            left.retain(|&other| other != pid);
        }
        let rest = grace.saturating_sub(start.elapsed());
        let time = timeout(rest.min(PAUSE));
        let mut fds = [PollFd::new(children.as_fd(), PollFlags::POLLIN)];
        // Whatever it says, the next look at the children tells.
        let _ = poll(&mut fds, time);
        while let Ok(Some(_)) = children.read_signal() {}
    }
    for server in places {
        server.kill();
    }
}

/// A time to wait, as poll(2) takes it: a millisecond at least.
fn timeout(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time.max(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX)
}
