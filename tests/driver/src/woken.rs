// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who is woken on a processor that runs a container gets it as soon as one that runs a program: the thread in
//! CKI_RUN gives it away when it comes out of the container, and not at the next tick. For a machine with one
//! processor whose time is that of its instructions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::case::Case;
use crate::device::System;
use crate::guest::Guest;

/// Between two wake-ups, a quarter of a tick: it is three quarters to the next one then.
const PAUSE: Duration = Duration::from_millis(1);
const WAKE_UPS: usize = 100;
/// What leaving a container may take longer than leaving a program: less than to the next tick.
const MORE: Duration = Duration::from_millis(2);

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "who_is_woken_waits_for_no_tick_behind_a_container",
        Box::new(woken),
    )]
}

fn woken() -> Result<()> {
    let program = beside_a_program()?;
    let container = beside_a_container()?;
    println!("woken: after {program:?} beside a program, after {container:?} beside a container");
    ensure!(
        container < program + MORE,
        "a wake-up takes {container:?} beside a container, {program:?} beside a program"
    );
    Ok(())
}

fn beside_a_program() -> Result<Duration> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let program = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let median = scope.spawn(latency).join().expect("it does not panic");
        ended.store(true, Ordering::Relaxed);
        program.join().expect("it does not panic");
        median
    })
}

fn beside_a_container() -> Result<Duration> {
    let guest = Guest::start(&System::open()?, "loop_forever", |_, _| {})?;
    thread::scope(|scope| {
        let runner = scope.spawn(|| guest.vcpu.run().map(|run| run.exit_reason));
        let median = scope.spawn(latency).join().expect("it does not panic");
        guest.container.kill()?;
        let run = runner.join().expect("it does not panic");
        ensure!(
            run.as_ref().err().and_then(std::io::Error::raw_os_error) == Some(libc::ESHUTDOWN),
            "CKI_RUN ended with {run:?}"
        );
        median
    })
}

/// How much too late a thread of real time comes out of its sleeps, in the middle.
fn latency() -> Result<Duration> {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: a plain structure that lives across the call, which changes the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
    ensure!(result == 0, "{}", std::io::Error::last_os_error());
    let mut late: Vec<_> = (0..WAKE_UPS)
        .map(|_| {
            let start = Instant::now();
            thread::sleep(PAUSE);
            start.elapsed().saturating_sub(PAUSE)
        })
        .collect();
    late.sort_unstable();
    Ok(late[WAKE_UPS / 2])
}
