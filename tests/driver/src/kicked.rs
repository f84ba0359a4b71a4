// SPDX-License-Identifier: MIT OR Apache-2.0

//! An event interrupts the CPU that its vCPU is on, and not the one that it was on before. For a machine with two
//! CPUs whose time is that of their instructions: what is not delivered then waits for a tick, which is short.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::case::Case;
use crate::device::System;
use crate::guest::Guest;
use crate::moved::{own_id, pin};
use crate::page::{Page, at};

/// In each, a tick comes in time by chance once in four times.
const ROUNDS: u64 = 20;
/// A quarter of a tick. This CPU sleeps for so long, and the other one does nothing but deliver the event.
const SOON: Duration = Duration::from_millis(1);
/// What has not happened by then will not.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the guest counts the deliveries, and says that it takes them.
const COUNT: usize = at!(Page, count);
const READY: usize = at!(Page, empty);
const EVENT: u32 = 8;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "an_event_interrupts_the_cpu_that_its_vcpu_has_come_to",
        Box::new(kicked),
    )]
}

fn kicked() -> Result<()> {
    let guest = Guest::start(&System::open()?, "events_without_sleep", |_, _| {})?;
    pin(own_id(), 0)?;
    thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let vcpu = &guest.vcpu;
        scope.spawn(move || {
            let _ = sender.send(own_id());
            vcpu.run().map(|run| run.exit_reason)
        });
        let thread = receiver.recv()?;
        let result = raise_all(&guest, thread);
        guest.container.kill()?;
        result
    })
}

fn raise_all(guest: &Guest, thread: libc::pid_t) -> Result<()> {
    let start = Instant::now();
    while guest.container.read_word(READY) == 0 {
        ensure!(start.elapsed() < PATIENCE, "the guest does not begin");
        thread::sleep(SOON);
    }
    for round in 1..=ROUNDS {
        // It runs here for a tick, and then there, for less than one.
        pin(thread, 0)?;
        thread::sleep(5 * SOON);
        pin(thread, 1)?;
        thread::sleep(SOON / 5);
        guest.container.raise(0, EVENT)?;
        thread::sleep(SOON);
        let count = guest.container.read_word(COUNT);
        ensure!(
            count == round,
            "event {round} was not delivered in {SOON:?}: {count} were"
        );
    }
    Ok(())
}
