// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events for a vCPU whose thread is moved between two CPUs all the time: each raise is followed by a
//! delivery, whether the guest computes or sleeps at that moment, and wherever it has just been.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::case::Case;
use crate::device::System;
use crate::guest::Guest;
use crate::page::{Page, at};
use crate::races::complaints;

/// As many in `check`; `raises=N` on the kernel's command line for the long form.
const RAISES: u64 = 100_000;
/// The thread is moved so often.
const PERIOD: Duration = Duration::from_millis(10);
/// A delivery that takes longer is lost: with the event in place, the next tick would deliver it.
const LOST: Duration = Duration::from_secs(5);
/// Where the guest counts the deliveries, and those that brought nothing.
const COUNT: usize = at!(Page, count);
const EMPTY: usize = at!(Page, empty);
const EVENT: u32 = 8;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "every_event_reaches_a_vcpu_that_is_moved_all_the_time",
        Box::new(moved),
    )]
}

/// Lets `thread` run on one CPU only.
pub fn pin(thread: libc::pid_t, cpu: usize) -> Result<()> {
    // SAFETY: a plain structure that lives across the call.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(thread, size_of_val(&set), &set)
    };
    ensure!(
        result == 0,
        "CPU {cpu}: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// The calling thread, for `pin`.
pub fn own_id() -> libc::pid_t {
    // SAFETY: a call without arguments that cannot fail.
    unsafe { libc::gettid() }
}

fn moved() -> Result<()> {
    let raises = std::env::var("raises")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(RAISES);
    let system = System::open()?;
    let guest = Guest::start(&system, "events", |_, _| {})?;
    let ended = AtomicBool::new(false);
    pin(own_id(), 0)?;
    let result = thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let vcpu = &guest.vcpu;
        let runner = scope.spawn(move || {
            let _ = sender.send(own_id());
            vcpu.run().map(|run| run.exit_reason)
        });
        let thread = receiver.recv()?;
        let ended = &ended;
        scope.spawn(move || {
            for cpu in (0..2).cycle() {
                if ended.load(Ordering::Relaxed) || pin(thread, cpu).is_err() {
                    return;
                }
                thread::sleep(PERIOD);
            }
        });
        let result = raise_all(&guest, raises);
        ended.store(true, Ordering::Relaxed);
        guest.container.kill()?;
        let run = runner.join().expect("it does not panic");
        ensure!(
            run.as_ref().err().and_then(std::io::Error::raw_os_error) == Some(libc::ESHUTDOWN),
            "CKI_RUN ended with {run:?}"
        );
        result
    });
    let longest = result?;
    let empty = guest.container.read_word(EMPTY);
    println!("moved: {raises} raises, {empty} empty deliveries, the longest took {longest:?}");
    complaints()
}

/// One after the other: the next when the guest has counted the last. How long the longest took.
fn raise_all(guest: &Guest, raises: u64) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    let first = Instant::now();
    while guest.container.read_word(EMPTY) == 0 {
        ensure!(first.elapsed() < LOST, "the guest does not begin");
        thread::yield_now();
    }
    for number in 1..=raises {
        guest.container.raise(0, EVENT)?;
        let start = Instant::now();
        while guest.container.read_word(COUNT) < number {
            if start.elapsed() > LOST {
                bail!("event {number} of {raises} was lost");
            }
            // On the vCPU's CPU just now, perhaps.
            thread::yield_now();
        }
        longest = longest.max(start.elapsed());
    }
    let count = guest.container.read_word(COUNT);
    ensure!(count == raises, "{count} deliveries of {raises} events");
    Ok(longest)
}
