// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine check while a container runs: the emulator injects it when this asks for it. The words are those
//! that `tests/tests/module.rs` waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::alarm::Alarm;
use crate::case::Case;
use crate::device::System;
use crate::guest::{DATA, End, Guest};
use crate::moved::{own_id, pin};
use crate::page::{Loop, at};
use cki_abi::limits::CHUNK_SIZE;
use cki_abi::uapi::run::RunPage;
use cki_abi::uapi::run::exits::EXIT_MACHINE_CHECK;
use cki_abi::vectors::MACHINE_CHECK;

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Those of the machine that gets an error which somebody has to do something about, and of the one whose error
/// nobody has.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "a_memory_error_in_a_container_ends_that_alone",
            Box::new(ended),
        ),
        (
            "a_memory_error_of_nobodys_harms_no_container",
            Box::new(unharmed),
        ),
    ]
}

/// Runs a guest that loops on CPU 1, and asks for the error from CPU 0 when it does.
fn run(guest: &Guest, hpa: u64) -> Result<std::io::Result<RunPage>> {
    pin(own_id(), 1)?;
    Ok(thread::scope(|scope| {
        scope.spawn(|| {
            pin(own_id(), 0).expect("there are two CPUs");
            while guest.container.read_word(at!(Loop, begun)) != 1 {
                thread::yield_now();
            }
            println!("memory error wanted at {hpa:#x}");
        });
        guest.vcpu.run()
    }))
}

fn ended() -> Result<()> {
    let system = System::open()?;
    let before = system.info()?;
    let handler = count as extern "C" fn(i32);
    // SAFETY: a handler that only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
    let mut hpa = 0;
    let guest = Guest::start(&system, "loop_forever", |_, memory| hpa = memory + DATA)?;
    let run = run(&guest, hpa)?.context("CKI_RUN")?;
    let fault = run.detail.fault();
    ensure!(
        run.exit_reason == EXIT_MACHINE_CHECK && fault.vector == MACHINE_CHECK && fault.cr2 == hpa,
        "exit {}, {fault:x?}",
        run.exit_reason
    );
    ensure!(
        SIGNALS.load(Ordering::Relaxed) == 1,
        "the host has not told the thread by SIGBUS"
    );
    let again = guest.vcpu.run().expect_err("a dead container does not run");
    ensure!(again.raw_os_error() == Some(libc::ESHUTDOWN), "{again}");
    drop(guest);
    let info = system.info()?;
    ensure!(
        info.containers == 0 && info.pool_free == before.pool_free - CHUNK_SIZE,
        "the broken memory is still in use: {info:?}"
    );
    // The host goes on, and the next container has other memory.
    let next = Guest::start(&system, "shutdown", |_, memory| {
        assert!(hpa < memory || hpa >= memory + CHUNK_SIZE);
    })?;
    ensure!(matches!(next.end()?.0, End::Code(_)));
    Ok(())
}

fn unharmed() -> Result<()> {
    let system = System::open()?;
    let mut hpa = 0;
    let guest = Guest::start(&system, "loop_forever", |_, memory| hpa = memory + DATA)?;
    let _alarm = Alarm::every(2000);
    let start = Instant::now();
    let error = run(&guest, hpa)?.expect_err("an endless loop ended");
    ensure!(error.raw_os_error() == Some(libc::EINTR), "{error}");
    ensure!(
        start.elapsed() > Duration::from_millis(500),
        "the signal came before the error"
    );
    let exits = guest.vcpu.page().exits_other;
    ensure!(exits == 1, "{exits} machine checks in the container");
    Ok(())
}
