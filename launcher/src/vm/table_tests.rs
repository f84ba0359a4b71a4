// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices in their slots, with the threads that serve them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use cki_abi::hypercalls::arguments::EVENT_DEVICE;
use nix::sys::eventfd::{EfdFlags, EventFd};
use virtio_bindings::virtio_mmio as reg;

use super::*;
use crate::module::fake::{FakeContainer, Log};
use crate::virtio::testing::{BRING_UP, LIVE, Script, Scripted, memory};
use crate::vm::outside::Outside;
use crate::vm::worker;

/// Name of a thread whose time is measured.
const NAME: &str = "woken-bench";
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(20);

fn scripted(script: impl FnMut() -> Next + Send + 'static) -> Scripted {
    Scripted {
        script: Box::new(script) as Script,
        source: None,
    }
}

/// A container with a device in slot 1 and the device's thread.
struct Bench {
    outside: Arc<Outside>,
    log: Arc<std::sync::Mutex<Log>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Bench {
    fn new(device: Scripted) -> Self {
        Bench::named("bench", device)
    }

    fn named(name: &str, device: Scripted) -> Self {
        Bench::with(name, device, |_, _| {})
    }

    fn with(name: &str, device: Scripted, prepare: impl FnOnce(&Table, &dyn Container)) -> Self {
        let mut devices = Table::new(Console::new(Vec::new())).unwrap();
        assert_eq!(devices.add(device, Duty::Disk).unwrap(), 1);
        let container = FakeContainer::new(&[(0, 4096)]);
        let log = Arc::clone(&container.log);
        prepare(&devices, &container);
        let waker = Waker::new().unwrap();
        let outside = Outside::new(Arc::new(container), memory(), None, devices, waker);
        let outside = Arc::new(outside);
        let shared = Arc::clone(&outside);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let slot = shared.devices().get(1).unwrap();
            worker::serve(&shared, slot, slot.thread().unwrap())
        });
        let bench = Bench {
            outside,
            log,
            thread: Some(thread.unwrap()),
        };
        for (register, value) in BRING_UP {
            bench.write(register, value);
        }
        bench
    }

    fn write(&self, register: u32, value: u32) {
        self.outside
            .mmio_write(1, register.into(), 4, value.into())
            .unwrap();
    }

    fn read(&self, register: u32) -> u64 {
        self.outside.mmio_read(1, register.into(), 4).unwrap()
    }

    fn interrupts(&self) -> usize {
        let event = (0, EVENT_DEVICE as u32 + 1);
        let log = self.log.lock().unwrap();
        log.raised.iter().filter(|raised| **raised == event).count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.outside.kill();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

#[test]
fn an_attached_device_and_the_guest_reach_each_other_without_the_vcpu() {
    let (turn, turns) = channel();
    let device = scripted(move || {
        let _ = turn.send(());
        Next {
            notify: true,
            ..Next::default()
        }
    });
    let bench = Bench::with("bench", device, |devices, container| {
        devices.attach(container).unwrap();
    });
    let (doorbell, interrupt) = {
        let log = bench.log.lock().unwrap();
        let [(register, doorbell)] = &log.doorbells[..] else {
            panic!("not one for the only device with a thread: {log:?}");
        };
        let notify = reg::VIRTIO_MMIO_QUEUE_NOTIFY;
        assert_eq!((register.device, register.offset), (1, notify));
        let [(interrupt, 0, event)] = &log.interrupts[..] else {
            panic!("not one for the only device with a thread: {log:?}");
        };
        assert_eq!(*event, EVENT_DEVICE as u32 + 1);
        (
            File::from(doorbell.try_clone().unwrap()),
            File::from(interrupt.try_clone().unwrap()),
        )
    };
    // Turns of the set-up.
    while turns.recv_timeout(SOON).is_ok() {}
    let signals = || (&interrupt).read(&mut [0; 8]).is_ok();
    assert!(signals());
    assert!(!signals());
    // As the module does for a guest that notifies it.
    (&doorbell).write_all(&1u64.to_ne_bytes()).unwrap();
    turns.recv_timeout(LATE).unwrap();
    let start = Instant::now();
    while !signals() {
        assert!(start.elapsed() < LATE);
        sleep(Duration::from_millis(1));
    }
    // None of it by a call.
    assert_eq!(bench.interrupts(), 0);
}

/// A device that says when it begins its work and waits to be told to end it.
fn slow() -> (Scripted, Receiver<()>, Sender<()>) {
    let ((begin, begun), (end, ended)) = (channel(), channel());
    let device = scripted(move || {
        let _ = begin.send(());
        let _ = ended.recv();
        Next {
            notify: true,
            ..Next::default()
        }
    });
    (device, begun, end)
}

#[test]
fn a_device_at_work_does_not_keep_the_vcpu_from_what_a_driver_does_then() {
    let (device, begun, end) = slow();
    let bench = Bench::new(device);
    // Dropped before the bench, which waits for the device's thread.
    let end = end;
    begun.recv_timeout(LATE).unwrap();
    // It is at work, for as long as we like.
    bench.write(reg::VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    bench.write(reg::VIRTIO_MMIO_QUEUE_NOTIFY, 7);
    assert_eq!(bench.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    bench.write(reg::VIRTIO_MMIO_INTERRUPT_ACK, 3);
    assert_eq!(bench.interrupts(), 0);
    end.send(()).unwrap();
    // What was notified meanwhile is looked at after.
    begun.recv_timeout(LATE).unwrap();
    assert_eq!(bench.interrupts(), 1);
    assert_eq!(bench.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    bench.write(reg::VIRTIO_MMIO_INTERRUPT_ACK, 1);
    assert_eq!(bench.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

#[test]
fn a_reset_waits_until_the_device_has_stopped_working() {
    let (device, begun, end) = slow();
    let bench = Bench::new(device);
    // Dropped before the bench, which waits for the device's thread.
    let end = end;
    begun.recv_timeout(LATE).unwrap();
    let (reset, is_reset) = channel();
    let outside = Arc::clone(&bench.outside);
    let driver = spawn(move || {
        outside
            .mmio_write(1, reg::VIRTIO_MMIO_STATUS.into(), 4, 0)
            .unwrap();
        reset.send(()).unwrap();
    });
    assert_eq!(is_reset.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    // The driver's set-up may have woken it more than once.
    for _ in 0..8 {
        end.send(()).unwrap();
    }
    is_reset.recv_timeout(LATE).unwrap();
    driver.join().unwrap();
    // After it, the device does nothing whatever is notified.
    while begun.try_recv().is_ok() {}
    bench.write(reg::VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert!(begun.recv_timeout(SOON).is_err());
}

#[test]
fn a_device_is_woken_by_the_host_and_by_time() {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    let host = EventFd::from_flags(flags).unwrap();
    let source: OwnedFd = host.as_fd().try_clone_to_owned().unwrap();
    let (turn, turns) = channel();
    let reader = File::from(source.try_clone().unwrap());
    let device = Scripted {
        script: Box::new(move || {
            let by_host = (&reader).read(&mut [0; 8]).is_ok();
            let _ = turn.send((by_host, Instant::now()));
            Next {
                after: by_host.then_some(SOON),
                ..Next::default()
            }
        }),
        source: Some(source),
    };
    let bench = Bench::named(NAME, device);
    // Once or twice for the driver that came up.
    while let Ok((by_host, _)) = turns.recv_timeout(2 * SOON) {
        assert!(!by_host);
    }
    host.write(1).unwrap();
    let (by_host, first) = turns.recv_timeout(LATE).unwrap();
    assert!(by_host);
    let (by_host, second) = turns.recv_timeout(LATE).unwrap();
    assert!(!by_host && second - first >= SOON);
    assert!(turns.recv_timeout(2 * SOON).is_err());
    // A device that is down is not asked, and its thread does not look at the host's side either.
    bench.write(reg::VIRTIO_MMIO_STATUS, 0);
    host.write(1).unwrap();
    let before = cpu_time();
    assert!(turns.recv_timeout(4 * SOON).is_err());
    assert!(cpu_time() - before < 2 * SOON);
    for (register, value) in BRING_UP {
        bench.write(register, value);
    }
    assert!(turns.recv_timeout(LATE).unwrap().0);
}

/// CPU time of the thread that serves the only bench of this name.
fn cpu_time() -> Duration {
    let mut time = Duration::ZERO;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // One that has ended has no name any more.
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else {
            continue;
        };
        if name.trim_end() == NAME {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap();
            let nanoseconds = text.split(' ').next().unwrap().parse().unwrap();
            time += Duration::from_nanos(nanoseconds);
        }
    }
    time
}

#[test]
fn work_without_end_leaves_the_registers_and_the_end_to_others() {
    let bench = Bench::new(scripted(|| Next {
        more: true,
        ..Next::default()
    }));
    for _ in 0..50 {
        assert_eq!(bench.read(reg::VIRTIO_MMIO_STATUS), u64::from(LIVE));
    }
    // Its drop ends the thread.
    drop(bench);
}

#[test]
fn slots_are_numbered_in_order_and_limited() {
    let mut table = Table::new(Console::new(Vec::new())).unwrap();
    for number in 1..DEVICES_MAX as u32 {
        let added = table.add(scripted(Next::default), Duty::Disk);
        assert_eq!(added.unwrap(), number);
    }
    let full = table.add(scripted(Next::default), Duty::Disk);
    assert!(matches!(full, Err(TableError::Full)));
    assert_eq!(table.len(), 32);
    assert_eq!(table.get(31).unwrap().number(), 31);
    for absent in [32, u64::from(u32::MAX) + 1, u64::MAX] {
        assert!(table.get(absent).is_none());
    }
}

#[test]
fn a_wait_takes_less_than_a_millisecond_if_that_is_what_is_asked_for() {
    let (turn, turns) = channel();
    let _bench = Bench::new(scripted(move || {
        let _ = turn.send(Instant::now());
        Next {
            after: Some(Duration::from_micros(100)),
            ..Next::default()
        }
    }));
    let times: Vec<_> = turns.iter().take(100).collect();
    let mut gaps: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    gaps.sort();
    // Not each: the machine has others to run.
    assert!(gaps[10] < Duration::from_millis(1), "{gaps:?}");
}
