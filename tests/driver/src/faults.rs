// SPDX-License-Identifier: MIT OR Apache-2.0

//! Calls whose allocations fail, one after the other, on a kernel that can make them fail
//! (`kernel/config/debug.config`; Linux, Documentation/fault-injection): each failure is told to the caller, and
//! nothing is left of what was done before it. At the end, the kernel looks for memory that nobody knows of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::case::Case;
use crate::device::{self, Container, System};
use crate::eventfds::Eventfd;
use crate::guest::{End, Guest, MEMORY, Prepared};
use crate::machine;

/// No call makes as many allocations.
const AT_MOST: u32 = 10_000;
/// What is released by a worker thread is back after this.
const PATIENCE: Duration = Duration::from_secs(20);
/// kmemleak speaks of what is older than five seconds (mm/kmemleak.c, MSECS_MIN_AGE).
const AGE: Duration = Duration::from_secs(6);

const DEBUG: &str = "/sys/kernel/debug";

/// All of them, by name. The last one is about all that has happened before.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "each_allocation_of_a_new_container_may_fail",
            Box::new(create),
        ),
        ("each_allocation_of_a_new_vcpu_may_fail", Box::new(vcpu)),
        (
            "each_allocation_of_an_eventfd_for_a_container_may_fail",
            Box::new(eventfds),
        ),
        ("each_allocation_of_a_start_may_fail", Box::new(start)),
        ("each_allocation_of_a_run_may_fail", Box::new(run)),
        ("no_memory_is_lost", Box::new(leaks)),
    ]
}

/// Has the kernel forget what it knows of leaks, and lets all kinds of allocations fail.
fn prepare() -> Result<()> {
    if !Path::new(DEBUG).join("failslab").exists() {
        machine::mount("debugfs", DEBUG)?;
    }
    for (kind, setting, value) in [
        ("failslab", "ignore-gfp-wait", "N"),
        ("failslab", "verbose", "0"),
        ("fail_page_alloc", "ignore-gfp-wait", "N"),
        ("fail_page_alloc", "ignore-gfp-highmem", "N"),
        ("fail_page_alloc", "min-order", "0"),
        ("fail_page_alloc", "verbose", "0"),
        ("fail_usercopy", "verbose", "0"),
    ] {
        let path = format!("{DEBUG}/{kind}/{setting}");
        fs::write(&path, value).with_context(|| path)?;
    }
    Ok(())
}

/// Makes the `nth` allocation (or copy from or to user memory) of `call` fail. Whether there were as many, and
/// what came of the call.
fn fail<T>(nth: u32, call: impl FnOnce() -> T) -> Result<(bool, T)> {
    const CONTROL: &str = "/proc/thread-self/fail-nth";
    // Both are open before the first allocation that counts; there is no way back in such a file.
    let mut before = OpenOptions::new().write(true).open(CONTROL)?;
    let mut after = File::open(CONTROL)?;
    let number = nth.to_string();
    before.write_all(number.as_bytes())?;
    let result = call();
    let mut left = [0; 16];
    // When the next one is to fail, it is the copy of the answer.
    let happened = matches!(after.read(&mut left), Ok(1..)) && left[0] == b'0';
    if !happened {
        let _ = before.write(b"0");
    }
    Ok((happened, result))
}

/// Waits until there is neither a container nor memory of one.
fn nothing_left(system: &System) -> Result<()> {
    let start = Instant::now();
    loop {
        let info = system.info()?;
        if info.pool_free == info.pool_size && info.containers == 0 && info.monitor_pages == 0 {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "left behind: {info:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Does `attempt` with its first allocation failing, its second, and so on, until none does. An attempt that
/// fails has to say so by an error that is one of memory or of a copy.
fn each(mut attempt: impl FnMut(&System, u32) -> Result<(bool, io::Result<()>)>) -> Result<()> {
    prepare()?;
    let system = System::open()?;
    let mut failures = 0;
    for nth in 1..AT_MOST {
        let (happened, result) = attempt(&system, nth).with_context(|| format!("number {nth}"))?;
        nothing_left(&system).with_context(|| format!("number {nth}"))?;
        match result.map_err(|error| error.raw_os_error()) {
            Ok(()) if !happened => {
                println!("{nth} allocations and copies, {failures} of them told the caller");
                return Ok(());
            }
            // One that the kernel can do without.
            Ok(()) => {}
            Err(Some(libc::ENOMEM | libc::EFAULT | libc::ENOSPC)) if happened => failures += 1,
            Err(error) => bail!("number {nth}: error {error:?}, made to fail: {happened}"),
        }
    }
    bail!("more than {AT_MOST} allocations")
}

fn create() -> Result<()> {
    each(|system, nth| {
        let mut create = device::create(MEMORY);
        let (happened, result) = fail(nth, || system.create(&mut create))?;
        Ok((happened, result.map(drop)))
    })
}

fn vcpu() -> Result<()> {
    each(|system, nth| {
        let container = system.create(&mut device::create(MEMORY))?;
        let before = system.info()?.monitor_pages;
        let (happened, result) = fail(nth, || container.vcpu_descriptor(0))?;
        if result.is_err() {
            // Or else one container takes as much as it likes, by a call that fails again and again.
            let after = system.info()?.monitor_pages;
            ensure!(
                after == before,
                "{before} pages before the call, {after} after it"
            );
            let again = container.vcpu_descriptor(0);
            again.context("the same call again")?;
        }
        Ok((happened, result.map(drop)))
    })
}

/// Both kinds. One that fails leaves its place to the same call again.
fn eventfds() -> Result<()> {
    let eventfd = Eventfd::new()?;
    let calls: [fn(&Container, &Eventfd) -> io::Result<()>; 2] = [
        |container, eventfd| container.ioeventfd(eventfd.of_a_doorbell()),
        |container, eventfd| container.irqfd(eventfd.of_an_event()),
    ];
    for call in calls {
        each(|system, nth| {
            let container = system.create(&mut device::create(MEMORY))?;
            let _vcpu = container.vcpu_descriptor(0)?;
            let (happened, result) = fail(nth, || call(&container, &eventfd))?;
            if result.is_err() {
                call(&container, &eventfd).context("the same call again")?;
            }
            Ok((happened, result))
        })?;
    }
    Ok(())
}

/// The whole guest, which has to come to its end.
fn finish(prepared: Prepared) -> Result<()> {
    let Prepared {
        container, vcpu, ..
    } = prepared;
    let (end, _) = Guest { container, vcpu }.end()?;
    ensure!(matches!(end, End::Code(_)), "{end:x?}");
    Ok(())
}

fn start() -> Result<()> {
    each(|system, nth| {
        let prepared = Prepared::new(system, "shutdown", MEMORY)?;
        let mut request = prepared.request();
        let (happened, result) = fail(nth, || prepared.container.start(&mut request))?;
        match &result {
            Ok(()) => finish(prepared)?,
            // The answer could not be copied: started, and the caller does not know.
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {}
            Err(_) => {
                let mut request = prepared.request();
                let again = prepared.container.start(&mut request);
                again.context("the same call again")?;
                finish(prepared)?;
            }
        }
        Ok((happened, result))
    })
}

fn run() -> Result<()> {
    each(|system, nth| {
        let prepared = Prepared::new(system, "shutdown", MEMORY)?;
        let mut request = prepared.request();
        prepared.container.start(&mut request)?;
        let (happened, result) = fail(nth, || prepared.vcpu.run())?;
        Ok((happened, result.map(drop)))
    })
}

fn leaks() -> Result<()> {
    prepare()?;
    let control = format!("{DEBUG}/kmemleak");
    // Twice: what is in a register or on a list that changes may be missed once.
    for _ in 0..2 {
        thread::sleep(AGE);
        fs::write(&control, "scan")?;
    }
    let mut found = String::new();
    File::open(&control)?.read_to_string(&mut found)?;
    ensure!(found.is_empty(), "{found}");
    Ok(())
}
