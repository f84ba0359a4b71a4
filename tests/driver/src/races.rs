// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls of eight threads on one container at once, again and again: whatever the order, nothing is left
//! behind, nobody waits for ever, and the kernel has nothing to complain of.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;

use crate::case::Case;
use crate::device::{self, System};
use crate::guest::{MEMORY, Prepared};
use crate::page::parameter;

/// As long in `check`; `seconds=N` on the kernel's command line for the long form.
const SECONDS: u64 = 10;
/// A round that takes longer hangs.
const ROUND: Duration = Duration::from_secs(20);
/// What a thread does.
const THREADS: usize = 8;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "calls_of_eight_threads_at_once_leave_nothing_behind",
        Box::new(races),
    )]
}

fn pause(random: &mut Rng) {
    thread::sleep(Duration::from_micros(random.u64(..3000)));
}

fn races() -> Result<()> {
    let seconds = std::env::var("seconds")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(SECONDS);
    let system = System::open()?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let counts = Arc::new(Counts::default());
    let mut rounds = 0;
    while Instant::now() < end {
        round(&system, rounds, &counts)?;
        rounds += 1;
    }
    let info = system.info()?;
    ensure!(
        info.containers == 0 && info.pool_free == info.pool_size && info.monitor_pages == 0,
        "left behind after {rounds} rounds: {info:?}"
    );
    println!("races: {rounds} rounds, {counts:?}");
    ensure!(
        counts.started.load(Ordering::Relaxed) > 0 && counts.shut.load(Ordering::Relaxed) > 0,
        "nothing raced: {counts:?}"
    );
    complaints()
}

/// How often something happened that has to happen now and then, or the test shows nothing.
#[derive(Debug, Default)]
struct Counts {
    started: AtomicU64,
    shut: AtomicU64,
    exits: AtomicU64,
    raised: AtomicU64,
}

fn round(system: &System, number: u64, counts: &Arc<Counts>) -> Result<()> {
    const GUESTS: [&str; 4] = ["loop_forever", "thousand", "timer", "shutdown"];
    let prepared = Prepared::new(system, GUESTS[number as usize % GUESTS.len()], MEMORY)?;
    prepared.container.write_word(parameter(0), 1000);
    let prepared = Arc::new(prepared);
    let barrier = Arc::new(Barrier::new(THREADS));
    // Of each guest's rounds, in every other one nobody ends it before it has been started, or been refused: under
    // a kernel with all its checks a start takes longer than any pause here, and no guest would ever run.
    let started = Arc::new(AtomicBool::new(number / GUESTS.len() as u64 % 2 == 1));
    let deadline = Instant::now() + ROUND;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (prepared, barrier) = (Arc::clone(&prepared), Arc::clone(&barrier));
            let (counts, started) = (Arc::clone(counts), Arc::clone(&started));
            thread::spawn(move || {
                // The same numbers in every run.
                let mut random = Rng::with_seed(number * THREADS as u64 + thread as u64);
                barrier.wait();
                pause(&mut random);
                act(thread, &prepared, &mut random, &counts, &started);
            })
        })
        .collect();
    // The descriptors and mappings go with the last thread, whichever that is.
    drop(prepared);
    for thread in threads {
        while !thread.is_finished() {
            ensure!(Instant::now() < deadline, "round {number} hangs");
            thread::sleep(Duration::from_micros(200));
        }
        if thread.join().is_err() {
            bail!("a thread panicked");
        }
    }
    Ok(())
}

fn act(
    thread: usize,
    prepared: &Prepared,
    random: &mut Rng,
    counts: &Counts,
    started: &AtomicBool,
) {
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    match thread {
        0 => {
            if prepared.container.start(&mut prepared.request()).is_ok() {
                count(&counts.started);
            }
            started.store(true, Ordering::Release);
        }
        // Behind all others, most of the time: every guest is ended.
        1 => {
            while !started.load(Ordering::Acquire) {
                pause(random);
            }
            for _ in 0..random.u64(..5) {
                pause(random);
            }
            let _ = prepared.container.kill();
        }
        // Two that run it, of which one is told that it is busy.
        2 | 3 => loop {
            match prepared.vcpu.run_once() {
                Ok(run) => {
                    count(&counts.exits);
                    prepared.vcpu.answer(0, run.detail.console().length);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ESHUTDOWN) => {
                        count(&counts.shut);
                        break;
                    }
                    _ => thread::yield_now(),
                },
            }
        },
        4 | 5 => {
            for event in 0..random.u64(..2000) {
                if prepared.container.raise(0, event as u32 % 64).is_ok() {
                    count(&counts.raised);
                }
            }
        }
        // The memory, while its classes are being fixed: by the kernel, whom a missing page does not end.
        6 => {
            let Ok((_other, socket)) = UnixStream::pair() else {
                return;
            };
            for _ in 0..random.u64(..50) {
                let at = random.u64(..MEMORY / 4096) as usize * 4096;
                let _ = prepared.container.copy_to(&socket, at);
            }
        }
        // Descriptors that come and go, and calls that are refused.
        _ => {
            for _ in 0..random.u64(..8) {
                let Ok(system) = System::open() else { return };
                let _ = system.info();
                let _ = prepared.container.vcpu(0);
                let _ = prepared.container.as_fd().try_clone_to_owned();
                let _ = system.create(&mut device::create(MEMORY));
            }
        }
    }
}

/// Whether the kernel has said anything that it says of mistakes.
pub fn complaints() -> Result<()> {
    const WORDS: [&str; 10] = [
        "WARNING:",
        "BUG:",
        "Oops",
        "Call Trace",
        // "Installing" is none.
        " stall",
        "blocked for more than",
        "general protection",
        "KASAN",
        "UBSAN",
        "soft lockup",
    ];
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .context("/dev/kmsg")?;
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                let found = WORDS.iter().find(|word| text.contains(**word));
                ensure!(found.is_none(), "the kernel says: {text}");
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            // Records that were overwritten before they were read.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) => return Err(error).context("/dev/kmsg"),
        }
    }
}
