// SPDX-License-Identifier: MIT OR Apache-2.0

//! Eventfds of a container's: writes of the guest's that signal one and are no exit, and events that a signal raises.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cki_abi::errors::E_ARGUMENT;
use cki_abi::hypercalls::HC_MMIO_READ;
use cki_abi::uapi::eventfd::{EVENTFDS_MAX, IOEVENTFD_VALUE, Ioeventfd, Irqfd};
use cki_abi::uapi::run::exits::{EXIT_MMIO_READ, EXIT_MMIO_WRITE};

use crate::alarm::Alarm;
use crate::case::Case;
use crate::device::System;
use crate::guest::{End, Guest, MEMORY, Prepared};
use crate::page::{Page, at, parameter};
use crate::races::complaints;

/// The doorbell of these cases: device, offset, size.
const DEVICE: u64 = 1;
const OFFSET: u64 = 0x50;
const SIZE: u64 = 4;
/// Devices that the guests have.
const DEVICES: u32 = 2;
const EVENT: u32 = 8;
/// Where guests count: doorbells that were rung, events that were delivered; and of the latter, empty ones.
const COUNT: usize = at!(Page, count);
const EMPTY: usize = at!(Page, empty);
/// As long in `check`; `seconds=N` on the kernel's command line for the long form.
const SECONDS: u64 = 10;
/// Nothing takes longer that is not lost.
const LOST: Duration = Duration::from_secs(10);

/// All that want one CPU.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "a_write_signals_its_eventfd_and_the_vcpu_goes_on",
            Box::new(goes_on),
        ),
        ("a_write_that_nobody_named_is_an_exit", Box::new(others)),
        ("a_signal_raises_its_event", Box::new(raises)),
        ("eventfds_that_cannot_be_are_refused", Box::new(refused)),
        (
            "a_containers_eventfds_are_as_many_as_it_says",
            Box::new(many),
        ),
        (
            "a_guest_that_writes_without_end_leaves_the_host_responsive",
            Box::new(without_end),
        ),
        ("a_closed_eventfd_is_no_loss", Box::new(closed)),
        (
            "an_eventfd_is_its_owners_again_behind_the_container",
            Box::new(given_back),
        ),
    ]
}

/// Those that want two.
pub fn races() -> Vec<(&'static str, Case)> {
    vec![(
        "a_container_that_goes_leaves_nobody_who_signals_its_eventfds",
        Box::new(going),
    )]
}

/// One that does not wait.
#[derive(Debug)]
pub struct Eventfd(File);

impl Eventfd {
    /// One that nobody has signalled.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a call that takes numbers.
        let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nobody else's.
        Ok(Eventfd(unsafe { File::from_raw_fd(number) }))
    }

    fn signal(&self, count: u64) -> io::Result<()> {
        (&self.0).write_all(&count.to_ne_bytes())
    }

    /// What has been signalled since the last look.
    fn count(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match (&self.0).read_exact(&mut count) {
            Ok(()) => Ok(u64::from_ne_bytes(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// For the doorbell, whatever is written.
    pub fn of_a_doorbell(&self) -> Ioeventfd {
        Ioeventfd {
            fd: self.0.as_raw_fd() as u32,
            device: DEVICE as u32,
            size: SIZE as u32,
            offset: OFFSET,
            ..Ioeventfd::default()
        }
    }

    /// For the event.
    pub fn of_an_event(&self) -> Irqfd {
        self.of_event(EVENT)
    }

    fn of_event(&self, event: u32) -> Irqfd {
        Irqfd {
            fd: self.0.as_raw_fd() as u32,
            event,
            ..Irqfd::default()
        }
    }
}

fn system() -> Result<System> {
    System::open()
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// A guest that is not started yet, with parameters.
fn prepared(system: &System, name: &str, words: &[u64]) -> Result<Prepared> {
    let mut prepared = Prepared::new(system, name, MEMORY)?;
    prepared.info.device_count = DEVICES;
    for (index, word) in words.iter().enumerate() {
        prepared.container.write_word(parameter(index), *word);
    }
    Ok(prepared)
}

/// One that rings the doorbell so often.
fn ringing(system: &System, times: u64) -> Result<Prepared> {
    prepared(system, "doorbell", &[times, DEVICE, OFFSET, SIZE, 7])
}

fn goes_on() -> Result<()> {
    const TIMES: u64 = 1000;
    let eventfd = Eventfd::new()?;
    let prepared = ringing(&system()?, TIMES)?;
    prepared.container.ioeventfd(eventfd.of_a_doorbell())?;
    let guest = prepared.start(|_, _| {})?;
    let (end, run) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    let count = eventfd.count()?;
    ensure!(count == TIMES, "{count} signals of {TIMES} writes");
    ensure!(run.exits_hypercall >= TIMES, "{}", run.exits_hypercall);
    Ok(())
}

/// The exit of a guest that writes once, or `None` if it had none; and what was signalled.
fn exit_of(write: [u64; 4], wanted: &dyn Fn(&Eventfd) -> Ioeventfd) -> Result<(bool, u64)> {
    let eventfd = Eventfd::new()?;
    let words = [&[1], &write[..]].concat();
    let prepared = prepared(&system()?, "doorbell", &words)?;
    prepared.container.ioeventfd(wanted(&eventfd))?;
    let guest = prepared.start(|_, _| {})?;
    let run = guest.vcpu.run()?;
    let exit = run.exit_reason == EXIT_MMIO_WRITE;
    if exit {
        let mmio = run.detail.mmio();
        let found = [mmio.device, mmio.offset, mmio.size, mmio.value];
        ensure!(found == write, "{found:x?} of {write:x?}");
        guest.vcpu.answer(0, 0);
        let (end, _) = guest.end()?;
        ensure!(end == End::Code(0), "{end:x?}");
    }
    Ok((exit, eventfd.count()?))
}

fn others() -> Result<()> {
    let of_seven = |eventfd: &Eventfd| Ioeventfd {
        flags: IOEVENTFD_VALUE,
        value: 7,
        ..eventfd.of_a_doorbell()
    };
    let signals = [
        [DEVICE, OFFSET, SIZE, 7],
        // Of which four bytes are written.
        [DEVICE, OFFSET, SIZE, 7 | 1 << 32],
    ];
    for write in signals {
        let (exit, count) = exit_of(write, &of_seven)?;
        ensure!(!exit && count == 1, "{write:x?}: exit {exit}, {count}");
    }
    let exits = [
        [DEVICE, OFFSET, SIZE, 6],
        [0, OFFSET, SIZE, 7],
        [DEVICE, OFFSET + 4, SIZE, 7],
        [DEVICE, OFFSET, 2, 7],
        [DEVICE, OFFSET, 8, 7],
    ];
    for write in exits {
        let (exit, count) = exit_of(write, &of_seven)?;
        ensure!(exit && count == 0, "{write:x?}: exit {exit}, {count}");
    }
    // A read is none, and a device that the guest does not have is nobody's, whoever waits for it.
    let eventfd = Eventfd::new()?;
    let words = [HC_MMIO_READ, DEVICE, OFFSET, SIZE, 7];
    let prepared = prepared(&system()?, "one_call", &words)?;
    prepared.container.ioeventfd(eventfd.of_a_doorbell())?;
    let guest = prepared.start(|_, _| {})?;
    let run = guest.vcpu.run()?;
    ensure!(run.exit_reason == EXIT_MMIO_READ, "{}", run.exit_reason);
    let write = [DEVICES.into(), OFFSET, SIZE, 7];
    absent(write, &eventfd)?;
    let count = eventfd.count()?;
    ensure!(count == 0, "{count} signals without a write");
    Ok(())
}

fn absent(write: [u64; 4], eventfd: &Eventfd) -> Result<()> {
    let words = [&[cki_abi::hypercalls::HC_MMIO_WRITE], &write[..]].concat();
    let prepared = prepared(&system()?, "one_call", &words)?;
    prepared.container.ioeventfd(Ioeventfd {
        device: DEVICES,
        ..eventfd.of_a_doorbell()
    })?;
    let (end, _) = prepared.start(|_, _| {})?.end()?;
    ensure!(end == End::Code(E_ARGUMENT), "{end:x?}");
    Ok(())
}

/// A guest that counts events and sleeps in between, and a thread that runs it.
fn with_events(guest: &Guest, work: impl FnOnce() -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| guest.vcpu.run().map(|run| run.exit_reason));
        let result =
            until(|| guest.container.read_word(EMPTY) != 0, "no beginning").and_then(|()| work());
        guest.container.kill()?;
        result
    })
}

fn until(holds: impl Fn() -> bool, words: &str) -> Result<()> {
    let start = Instant::now();
    while !holds() {
        ensure!(start.elapsed() < LOST, "{words}");
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn raises() -> Result<()> {
    // Nearly all that a counter holds: there is room for the next only if the last was taken back.
    const MOST: u64 = u64::MAX - 1;
    let (one, other) = (Eventfd::new()?, Eventfd::new()?);
    let prepared = prepared(&system()?, "events", &[])?;
    prepared.container.irqfd(one.of_an_event())?;
    prepared.container.irqfd(other.of_an_event())?;
    let guest = prepared.start(|_, _| {})?;
    with_events(&guest, || {
        for number in 1..=200 {
            let eventfd = if number % 2 == 0 { &one } else { &other };
            eventfd
                .signal(MOST)
                .with_context(|| format!("signal {number}"))?;
            let delivered = || guest.container.read_word(COUNT) == number;
            until(delivered, &format!("event {number} was lost"))?;
        }
        let left = (one.count()?, other.count()?);
        ensure!(left == (0, 0), "{left:?} were not taken back");
        Ok(())
    })
}

fn refused() -> Result<()> {
    let eventfd = Eventfd::new()?;
    let file = File::open("/dev/null")?;
    let null = file.as_raw_fd() as u32;
    let prepared = ringing(&system()?, 1)?;
    let doorbell = |change: fn(&mut Ioeventfd)| {
        let mut wanted = eventfd.of_a_doorbell();
        change(&mut wanted);
        errno(prepared.container.ioeventfd(wanted))
    };
    let invalid: [fn(&mut Ioeventfd); 9] = [
        |w| w.flags = 2,
        |w| w.flags = 1 << 31,
        |w| w.device = 32,
        |w| w.size = 0,
        |w| w.size = 3,
        |w| w.size = 16,
        |w| w.offset = 4096,
        |w| w.value = 1,
        |w| (w.flags, w.value) = (IOEVENTFD_VALUE, 1 << 32),
    ];
    for (number, change) in invalid.into_iter().enumerate() {
        let error = doorbell(change);
        ensure!(error == Some(libc::EINVAL), "{number}: {error:?}");
    }
    let event = |change: fn(&mut Irqfd)| {
        let mut wanted = eventfd.of_an_event();
        change(&mut wanted);
        errno(prepared.container.irqfd(wanted))
    };
    ensure!(event(|w| w.flags = 1) == Some(libc::EINVAL));
    ensure!(event(|w| w.event = 64) == Some(libc::EINVAL));
    ensure!(event(|w| w.vcpu = 1) == Some(libc::ENOENT));
    ensure!(event(|w| w.vcpu = u32::MAX) == Some(libc::ENOENT));
    for (fd, expected) in [
        (null, libc::EINVAL),
        (1 << 20, libc::EBADF),
        (u32::MAX, libc::EBADF),
    ] {
        let (doorbell, event) = (eventfd.of_a_doorbell(), eventfd.of_an_event());
        let error = errno(prepared.container.ioeventfd(Ioeventfd { fd, ..doorbell }));
        ensure!(error == Some(expected), "{fd}: {error:?}");
        let error = errno(prepared.container.irqfd(Irqfd { fd, ..event }));
        ensure!(error == Some(expected), "{fd}: {error:?}");
    }
    // Not two for one write: with any value and with one, in any order.
    ensure!(doorbell(|w| (w.flags, w.value) = (IOEVENTFD_VALUE, 1)).is_none());
    ensure!(doorbell(|w| (w.flags, w.value) = (IOEVENTFD_VALUE, 2)).is_none());
    ensure!(doorbell(|w| (w.flags, w.value) = (IOEVENTFD_VALUE, 1)) == Some(libc::EEXIST));
    ensure!(doorbell(|_| ()) == Some(libc::EEXIST));
    ensure!(doorbell(|w| w.device = 0).is_none());
    ensure!(doorbell(|w| (w.device, w.flags) = (0, IOEVENTFD_VALUE)) == Some(libc::EEXIST));
    // Not once it has been started, nor when it has ended.
    let guest = prepared.start(|_, _| {})?;
    let late = || {
        let event = errno(guest.container.irqfd(eventfd.of_an_event()));
        let doorbell = guest.container.ioeventfd(eventfd.of_a_doorbell());
        [errno(doorbell), event]
    };
    ensure!(late() == [Some(libc::EBUSY); 2], "{:?}", late());
    guest.container.kill()?;
    ensure!(late() == [Some(libc::EBUSY); 2], "{:?}", late());
    Ok(())
}

fn many() -> Result<()> {
    let eventfd = Eventfd::new()?;
    let system = system()?;
    let prepared = ringing(&system, 1)?;
    let doorbell = |value: u32| {
        prepared.container.ioeventfd(Ioeventfd {
            flags: IOEVENTFD_VALUE,
            value: value.into(),
            ..eventfd.of_a_doorbell()
        })
    };
    let raise = |eventfd: &Eventfd, event| prepared.container.irqfd(eventfd.of_event(event));
    for value in 0..EVENTFDS_MAX {
        doorbell(value)?;
        raise(&eventfd, value)?;
        // Each once: a write would raise it as often as it is there.
        ensure!(
            errno(raise(&eventfd, value)) == Some(libc::EEXIST),
            "{value}"
        );
    }
    ensure!(errno(doorbell(EVENTFDS_MAX)) == Some(libc::ENOSPC));
    let event = errno(raise(&Eventfd::new()?, 0));
    ensure!(event == Some(libc::ENOSPC), "{event:?}");
    // All of one eventfd, which the write signals: the events have taken it back before anybody sees it.
    let (end, _) = prepared.start(|_, _| {})?.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    ensure!(eventfd.count()? == 0);
    let info = system.info()?;
    ensure!(info.containers == 0, "{info:?}");
    Ok(())
}

fn without_end() -> Result<()> {
    let eventfd = Eventfd::new()?;
    let prepared = ringing(&system()?, 0)?;
    prepared.container.ioeventfd(eventfd.of_a_doorbell())?;
    // One that takes no more: it is not waited for.
    eventfd.signal(u64::MAX - 1)?;
    let guest = prepared.start(|_, _| {})?;
    let start = Instant::now();
    let alarm = Alarm::every(300);
    let error = guest.vcpu.run().expect_err("an endless loop ended");
    drop(alarm);
    ensure!(error.raw_os_error() == Some(libc::EINTR), "{error}");
    ensure!(start.elapsed() < LOST, "it took {:?}", start.elapsed());
    let rung = guest.container.read_word(COUNT);
    ensure!(rung > 1, "it did not get to its loop: {rung}");
    // Another thread gets the only CPU, and ends it.
    thread::scope(|scope| {
        let runner = scope.spawn(|| guest.vcpu.run().map(|run| run.exit_reason));
        let before = guest.container.read_word(COUNT);
        let result = until(
            || guest.container.read_word(COUNT) > before,
            "it stands still",
        );
        guest.container.kill()?;
        let error = errno(runner.join().expect("it does not panic"));
        ensure!(error == Some(libc::ESHUTDOWN), "{error:?}");
        result
    })
}

fn closed() -> Result<()> {
    let (doorbell, event) = (Eventfd::new()?, Eventfd::new()?);
    let prepared = ringing(&system()?, 100)?;
    prepared.container.ioeventfd(doorbell.of_a_doorbell())?;
    prepared.container.irqfd(event.of_an_event())?;
    drop(doorbell);
    let guest = prepared.start(|_, _| {})?;
    drop(event);
    let (end, _) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    Ok(())
}

fn given_back() -> Result<()> {
    let (doorbell, event) = (Eventfd::new()?, Eventfd::new()?);
    let system = system()?;
    for started in [false, true] {
        let prepared = ringing(&system, 1)?;
        prepared.container.ioeventfd(doorbell.of_a_doorbell())?;
        prepared.container.irqfd(event.of_an_event())?;
        event.signal(1)?;
        ensure!(event.count()? == 0, "a signal was nobody's");
        if started {
            let (end, _) = prepared.start(|_, _| {})?.end()?;
            ensure!(end == End::Code(0), "{end:x?}");
        } else {
            drop(prepared);
        }
        let info = system.info()?;
        ensure!(info.containers == 0, "{info:?}");
        event.signal(3)?;
        let count = event.count()?;
        ensure!(count == 3, "somebody took {} of 3 signals", 3 - count);
    }
    ensure!(doorbell.count()? == 1);
    Ok(())
}

/// Threads that signal all the time, while containers with these eventfds are made, run, and go.
fn going() -> Result<()> {
    let seconds = std::env::var("seconds")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(SECONDS);
    let end = Instant::now() + Duration::from_secs(seconds);
    let system = system()?;
    let (doorbell, event) = (Eventfd::new()?, Eventfd::new()?);
    let ended = AtomicBool::new(false);
    let (mut rounds, mut taken, mut runs) = (0, 0, 0);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let _ = event.signal(1);
                let _ = doorbell.count();
            }
        });
        let mut round = || {
            let prepared = ringing(&system, 50)?;
            prepared.container.ioeventfd(doorbell.of_a_doorbell())?;
            for number in 0..4 {
                prepared.container.irqfd(event.of_event(number))?;
            }
            // Where there is an entry, the counter is taken back at once.
            taken += u64::from(event.count()? == 0);
            rounds += 1;
            if rounds % 4 == 0 {
                let guest = prepared.start(|_, _| {})?;
                let (end, _) = guest.end()?;
                ensure!(end == End::Code(0), "{end:x?}");
                runs += 1;
            }
            Ok(())
        };
        let mut result = Ok(());
        while result.is_ok() && Instant::now() < end {
            result = round();
        }
        ended.store(true, Ordering::Relaxed);
        result
    });
    result?;
    let info = system.info()?;
    ensure!(
        info.containers == 0 && info.pool_free == info.pool_size && info.monitor_pages == 0,
        "left behind: {info:?}"
    );
    println!("going: {rounds} rounds, {taken} with a signal that was taken, {runs} runs");
    ensure!(taken > 0 && runs > 0, "nothing raced");
    complaints()
}
