// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one program, run by the container's init. Its parts, and the two threads.

use std::fs::File;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{HostMessage, Run, encode, port as names};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::driver::Driver;
use super::machine::{Machine, port};
use super::outcome::{Outcome, SessionError};
use super::streams::{ControlPort, Event, Events, Inbox, Outgoing, Stream};
use super::vcpu;
use crate::device::Vcpu;
use crate::virtio::console::{Console, PortIo};

/// Time for the vCPU's thread to come back after the container was killed.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Signals that end a session: the program gets them first.
pub(super) const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];
/// Signals that are passed to the program and nothing else.
const PASSED: [Signal; 4] = [
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGALRM,
];

/// Our side of the program's streams. Descriptors of their own, so that closing them hurts nobody.
#[derive(Debug)]
pub struct Io {
    /// What the program reads.
    pub stdin: File,
    /// Where its standard output goes.
    pub stdout: File,
    /// Where its standard error goes.
    pub stderr: File,
}

impl Io {
    /// Descriptors of their own for the same streams.
    ///
    /// # Errors
    /// When one cannot be duplicated.
    pub fn try_clone(&self) -> io::Result<Io> {
        Ok(Io {
            stdin: self.stdin.try_clone()?,
            stdout: self.stdout.try_clone()?,
            stderr: self.stderr.try_clone()?,
        })
    }

    /// The device with the ports of a session. What comes over the control port goes to `events`.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated.
    pub fn ports(&self, events: &Events, outgoing: &Outgoing) -> io::Result<Console> {
        let io = self.try_clone()?;
        let control = ControlPort::new(events.clone(), outgoing.clone());
        let ends: [Box<dyn PortIo>; port::COUNT] = [
            Box::new(control),
            Box::new(Stream::Input(io.stdin)),
            Box::new(Stream::Output(io.stdout)),
            Box::new(Stream::Output(io.stderr)),
        ];
        let named = names::ALL.map(str::to_owned).into_iter().zip(ends);
        Ok(Console::new(named.collect()))
    }
}

/// What a session is to do.
#[derive(Debug)]
pub struct Plan {
    /// The program; `None` only connects the kernel's console to our streams, until the guest ends.
    pub run: Option<Run>,
    /// How long the program may run.
    pub timeout: Option<Duration>,
    /// How long the container may take until the program runs.
    pub start_limit: Duration,
}

/// Blocks the signals that a session handles and gives the descriptor that tells them. To be called
/// before any other thread is started, which inherits the mask.
///
/// # Errors
/// Those of the system calls.
pub fn take_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in ENDING.into_iter().chain(PASSED) {
        mask.add(signal);
    }
    mask.thread_block()?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    Ok(SignalFd::with_flags(&mask, flags)?)
}

/// Who is told what happens in a session.
pub trait Watch {
    /// Init has said hello.
    fn ready(&mut self);
    /// The program was executed, with this process id in the container.
    fn started(&mut self, pid: i32);
}

/// A started container with everything that its session needs.
pub struct Session {
    /// Devices and memory.
    pub machine: Arc<Machine>,
    /// The vCPU, which gets a thread.
    pub vcpu: Box<dyn Vcpu>,
    /// Messages for init.
    pub outgoing: Outgoing,
    /// What the other thread says.
    pub inbox: Inbox,
    /// See [`take_signals`].
    pub signals: SignalFd,
    /// Our streams.
    pub io: Io,
}

impl Session {
    /// Runs the container to its end; it is gone on return. `confine` is called once both threads
    /// exist and before the guest runs.
    ///
    /// # Errors
    /// [`SessionError`] when it cannot be said how the program ended.
    pub fn run(
        mut self,
        plan: Plan,
        confine: impl FnOnce() -> Result<(), SessionError>,
        watch: &mut dyn Watch,
    ) -> Result<Outcome, SessionError> {
        let request = plan.run.map(HostMessage::Run).as_ref().map(encode);
        let request = request
            .transpose()
            .map_err(|error| SessionError::Request(error.to_string()))?;
        let (go, gone) = mpsc::channel::<()>();
        let (up, is_up) = mpsc::channel::<()>();
        let (machine, mut vcpu) = (Arc::clone(&self.machine), self.vcpu);
        thread::Builder::new()
            .name("vcpu0".to_owned())
            .spawn(move || {
                // Its own start is over: what it asks of the kernel from now on is in the filter.
                let _ = up.send(());
                if gone.recv().is_ok() {
                    let end = vcpu::run(&mut *vcpu, &machine);
                    machine.events().send(Event::End(end));
                }
            })
            .map_err(host("cannot start a thread"))?;
        // It sends before anything else, so this does not fail.
        let _ = is_up.recv();
        confine()?;
        let limits = (plan.timeout, plan.start_limit);
        let mut driver = Driver::new(&self.machine, &self.outgoing, request, limits, watch);
        // The thread waits for this; it is there, since it was spawned.
        let _ = go.send(());
        let result = driver.drive(&mut self.inbox, &self.signals, &mut self.io);
        let has_ended = driver.vcpu_has_ended();
        self.machine.kill();
        if !has_ended {
            wait_for_end(&self.inbox);
        }
        result
    }
}

pub(super) fn host(what: &'static str) -> impl Fn(io::Error) -> SessionError {
    move |source| SessionError::Host { what, source }
}

/// Waits until the vCPU's thread is out of the guest, so that the module can free everything at once.
fn wait_for_end(inbox: &Inbox) {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.receiver.recv_timeout(left) {
            Ok(Event::End(_)) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
