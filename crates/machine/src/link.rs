// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is behind the ports of a session: an emulator of its own, or a place of a machine that stays up.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use super::console::Tail;
use super::error::MachineError;
use super::inputs::Input;
use super::ipv6::Relay;
use super::machine::Machine;
use super::network::MachineNetwork;
use super::patience::{Patience, START_LIMIT};
use super::ports::Ports;
use super::resident::lease::Lease;
use super::terms::Io;

/// What is behind the ports of a session.
pub(crate) enum Backing {
    /// An emulator, which ends with the session.
    Own {
        qemu: Arc<duct::Handle>,
        console: Tail,
        log: Tail,
        /// Both logs are complete when it has ended.
        following: Option<thread::JoinHandle<()>>,
        /// What its published ports have on IPv6, as long as it is there.
        relay: Arc<Relay>,
    },
    /// A place of a machine that stays up: ours for as long as we hold the connection.
    Place {
        connection: UnixStream,
        /// In the order of [`cki_session::port::ALL`]: the last two are the program's output.
        streams: Vec<UnixStream>,
    },
}

/// A session that can begin.
pub(crate) struct Connected {
    pub(crate) link: Backing,
    pub(crate) ports: Ports,
    pub(crate) patience: Patience,
    pub(crate) start: Instant,
}

impl Connected {
    /// Starts an emulator. The kernel ends it when the calling thread ends.
    pub(crate) fn own(
        machine: &Machine,
        io: &mut Io,
        events: &Sender<Input>,
    ) -> Result<Self, MachineError> {
        let (volumes, disks) = (
            std::mem::take(&mut io.volumes),
            std::mem::take(&mut io.disks),
        );
        let (ports, its_console, inherited) =
            Ports::new(volumes, disks).map_err(MachineError::Sockets)?;
        let (log_reader, log_writer) = os_pipe::pipe().map_err(MachineError::Sockets)?;
        let mut machine = machine.clone();
        let opened = machine.network.as_ref().map(MachineNetwork::open);
        let (network, relay) = opened.transpose()?.unzip();
        machine.network = network;
        let expression = machine
            .command()
            .expression(rustix::process::Signal::KILL)
            .stdin_null()
            .stdout_null()
            .stderr_file(log_writer)
            .before_spawn(move |child| inherited.prepare(child));
        let start = Instant::now();
        let qemu = expression.start().map_err(|source| MachineError::Start {
            qemu: machine.qemu.clone(),
            source,
        })?;
        drop(expression);
        let qemu = Arc::new(qemu);
        let patience = Patience::new(qemu.pids().first().copied(), start, machine.start_limit);
        let (console, log) = (Tail::default(), Tail::default());
        let (console_tail, log_tail) = (console.clone(), log.clone());
        let log_thread = thread::spawn(move || log_tail.follow(log_reader, None));
        let copy = io.console.take();
        let following = thread::spawn(move || {
            console_tail.follow(its_console, copy);
            let _ = log_thread.join();
        });
        let (waiting, events) = (Arc::clone(&qemu), events.clone());
        let relay = Arc::new(relay.unwrap_or_default());
        let behind = Arc::clone(&relay);
        thread::spawn(move || {
            let ended = waiting.wait();
            // The ports that it relays to may be others' now.
            behind.stop();
            if let Ok(output) = ended {
                let _ = events.send(Input::Gone(Some(output.status)));
            }
        });
        let link = Backing::Own {
            qemu,
            console,
            log,
            following: Some(following),
            relay,
        };
        Ok(Self {
            link,
            ports,
            patience,
            start,
        })
    }

    /// Takes the place over.
    pub(crate) fn place(lease: Lease, events: &Sender<Input>) -> Result<Self, MachineError> {
        let start = Instant::now();
        let Lease {
            connection,
            ports,
            emulator,
            ..
        } = lease;
        let clones = ports.all().map(UnixStream::try_clone);
        let streams: Result<Vec<_>, _> = clones.into_iter().collect();
        let streams = streams.map_err(MachineError::Sockets)?;
        let waiting = connection.try_clone().map_err(MachineError::Sockets)?;
        let events = events.clone();
        thread::spawn(move || {
            // Nothing is said on it any more, but that the machine has gone.
            super::relay::drain(waiting);
            let _ = events.send(Input::Gone(None));
        });
        Ok(Self {
            link: Backing::Place {
                connection,
                streams,
            },
            ports,
            patience: Patience::new(Some(emulator), start, START_LIMIT),
            start,
        })
    }
}

impl Backing {
    /// Whether the machine goes on when the session is over.
    pub(crate) const fn stays(&self) -> bool {
        matches!(self, Self::Place { .. })
    }

    /// The program has ended and all its output that was announced has come; until when an emulator may take to end
    /// now.
    ///
    /// A place has given all output then, announced or not: of a container that was killed nobody knows how much there
    /// is. So its streams end where they are, and are read to that end, however slow our reader is.
    pub(crate) fn is_over(&self) -> Option<Instant> {
        match self {
            Self::Own { .. } => Some(Instant::now() + Self::END_LIMIT),
            Self::Place { streams, .. } => {
                for socket in &streams[2..] {
                    // It fails where the machine has gone already.
                    let _ = socket.shutdown(Shutdown::Read);
                }
                None
            }
        }
    }

    /// How long an emulator may take to end, once init has closed all ports.
    pub(crate) const END_LIMIT: Duration = Duration::from_secs(20);

    /// How long the output of a program whose time was over may take to come, whoever is slow.
    pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(10);

    /// How long the supervisor may take to give back what a place had: its ports of ours, its disk.
    const GIVE_BACK_LIMIT: Duration = Duration::from_secs(2);

    /// Ends the session, whatever it is at: an emulator is gone on return, a place is given back, and what the place
    /// had.
    pub(crate) fn end(&self) {
        match self {
            Self::Own { qemu, relay, .. } => {
                // It fails when QEMU is gone already.
                if let Err(error) = qemu.kill() {
                    tracing::debug!(%error, "killing the emulator");
                }
                if let Err(error) = qemu.wait() {
                    tracing::debug!(%error, "waiting for the emulator");
                }
                relay.stop();
            }
            Self::Place {
                connection,
                streams,
            } => {
                // It fails where the machine has gone already. The connection comes last: the place is free after it.
                for socket in streams {
                    let _ = socket.shutdown(Shutdown::Both);
                }
                let _ = connection.shutdown(Shutdown::Write);
                wait_for_end(connection, Self::GIVE_BACK_LIMIT);
            }
        }
    }

    /// The ends of the console and of what QEMU said, complete: QEMU is gone when this is called. Those of a machine
    /// that stays up are in its own log.
    pub(crate) fn logs(&mut self) -> (String, String) {
        let Self::Own {
            console,
            log,
            following,
            ..
        } = self
        else {
            return (String::new(), String::new());
        };
        if let Some(thread) = following.take() {
            let _ = thread.join();
        }
        (console.text(), log.text())
    }
}

/// Waits until the other side has closed a connection, on which it says nothing.
fn wait_for_end(connection: &UnixStream, limit: Duration) {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || connection.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match (&*connection).read(&mut [0; 64]) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}
