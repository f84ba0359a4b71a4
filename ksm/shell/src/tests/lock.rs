// SPDX-License-Identifier: MIT OR Apache-2.0

//! The monitor's lock under threads of the host; every order of them is for `lock_model.rs`.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;

use cki_abi::limits::VCPUS_MAX;

use crate::lock::{LONGEST_CALL, LOOK, Lock, PATIENCE, Poisoned};

const THREADS: usize = 4;

fn open<T>(value: T) -> Lock<T> {
    Lock::new(AtomicU32::new(0), value)
}

/// Not atomic: two threads in it at once lose counts.
#[derive(Default)]
struct Counts {
    first: u64,
    second: u64,
}

#[test]
fn one_at_a_time_has_the_lock() {
    const ROUNDS: u64 = 20_000;
    let lock = open(Counts::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut guard = lock.lock().expect("nobody poisons it");
                    assert_eq!(guard.first, guard.second, "somebody is half-way");
                    guard.first += 1;
                    guard.second += 1;
                }
            });
        }
    });
    let guard = lock.lock().expect("nobody has it");
    assert_eq!(guard.first, ROUNDS * THREADS as u64);
}

#[test]
fn a_holder_that_dies_ends_all_who_wait() {
    for _ in 0..50 {
        let lock = open(());
        let waiting = AtomicUsize::new(0);
        thread::scope(|scope| {
            // As a vCPU that faults in a call: it never gives the lock back, and poisons it.
            core::mem::forget(lock.lock().expect("nobody has it"));
            for _ in 0..THREADS {
                scope.spawn(|| {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    assert!(lock.lock().is_err());
                });
            }
            while waiting.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            lock.poison();
        });
    }
}

#[test]
fn a_holder_that_never_comes_back_is_not_waited_for_forever() {
    let lock = open(());
    core::mem::forget(lock.lock().expect("nobody has it"));
    assert_eq!(lock.lock_within(1000).err(), Some(Poisoned));
    assert_eq!(lock.lock().err(), Some(Poisoned), "and nobody waits again");
}

#[test]
fn i9_a_holder_is_waited_for_as_long_as_all_calls_take_and_no_host_notices() {
    let looks = u64::from(PATIENCE);
    let calls = VCPUS_MAX * LONGEST_CALL;
    assert!(looks * LOOK >= calls && (looks - 1) * LOOK < calls);
    // A locked access that misses, and PAUSE of 140 cycles, on a CPU of 1 GHz: events are held meanwhile, and
    // Linux waits a second for CPUs that do not come to a machine check.
    let microseconds = looks * 400 / 1000;
    assert!(microseconds < 500_000, "{microseconds} us");
}

#[test]
fn a_poisoned_lock_stays_poisoned_when_its_holder_goes_on() {
    let lock = open(1);
    let mut guard = lock.lock().expect("nobody has it");
    lock.poison();
    // Another vCPU has ended the container; this one finishes what it is at.
    *guard = 2;
    drop(guard);
    assert_eq!(lock.lock().err(), Some(Poisoned));
    lock.poison();
    assert_eq!(lock.lock().err(), Some(Poisoned));
}

#[test]
fn whoever_is_in_time_gets_it() {
    let lock = open(0);
    thread::scope(|scope| {
        let guard = lock.lock().expect("nobody has it");
        let waiter = scope.spawn(|| lock.lock().map(|guard| *guard));
        drop(guard);
        assert_eq!(waiter.join().expect("no panic"), Ok(0));
    });
}
