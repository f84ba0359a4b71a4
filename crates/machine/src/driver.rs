// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a session from the start of QEMU to its end.

use std::sync::mpsc;

use cki_session::Run;

use super::course::Course;
use super::error::MachineError;
use super::inputs::Signals;
use super::link::Connected;
use super::machine::Machine;
use super::request;
use super::resident::lease::Lease;
use super::session::Session;
use super::terms::{Ended, Io, TimeLimit};

/// Starts the machine, has it run `run`, and gives how that ended. The machine is gone when this returns.
///
/// `signals` gets a handle that sends signals to the program; `ready` is called once, before any output.
/// The kernel kills the machine when the calling thread ends.
///
/// # Errors
/// [`MachineError`] when it cannot be said how the program ended.
pub fn run(
    machine: &Machine,
    run: Run,
    time: TimeLimit,
    io: Io,
    signals: impl FnOnce(Signals),
    ready: impl FnOnce(),
) -> Result<Ended, MachineError> {
    let request = request::queued(&run)?;
    std::fs::File::open(machine.app.file()).map_err(|source| MachineError::AppImage {
        path: machine.app.file().to_owned(),
        source,
    })?;
    let (events, queue) = mpsc::channel();
    signals(Signals(events.clone()));
    let mut io = io;
    let connected = Connected::own(machine, &mut io, &events)?;
    let session = Session::start(connected, io, events, run.id)?;
    Course::new(session, &run, request, time, ready).finish(&queue)
}

/// As [`run`], in a place of a machine that stays up. The place is given back when this returns.
///
/// # Errors
/// [`MachineError`] when it cannot be said how the program ended.
pub fn run_in(
    lease: Lease,
    run: Run,
    time: TimeLimit,
    io: Io,
    signals: impl FnOnce(Signals),
    ready: impl FnOnce(),
) -> Result<Ended, MachineError> {
    let request = request::queued(&run)?;
    let (events, queue) = mpsc::channel();
    signals(Signals(events.clone()));
    let connected = Connected::place(lease, &events)?;
    let session = Session::start(connected, io, events, run.id)?;
    Course::new(session, &run, request, time, ready).finish(&queue)
}
