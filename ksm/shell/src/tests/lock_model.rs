// SPDX-License-Identifier: MIT OR Apache-2.0

//! The monitor's lock in every order in which vCPUs can get at it, by the C11 memory model (loom): the file of the
//! product, compiled with loom's words.
//!
//! What the lock guards is a cell that loom watches: two threads in it at once, or one that does not see what
//! another has left there, fail the test. So does a thread that waits for nobody: a model that has more steps than
//! loom allows.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle};

use lock::{Lock, Poisoned};

/// What the lock is made of here.
mod sync {
    pub use loom::hint::spin_loop;
    pub use loom::sync::atomic::{AtomicU32, Ordering};
}

#[path = "../lock.rs"]
#[allow(clippy::duplicate_mod, dead_code)]
mod lock;

/// Looks at a lock that another holds, of those that are not to give up.
const PATIENT: u32 = u32::MAX;

type Counter = Lock<UnsafeCell<u64>>;

fn counter() -> Arc<Counter> {
    let state = sync::AtomicU32::new(0);
    Arc::new(Lock::new(state, UnsafeCell::new(0)))
}

/// Counts one up; half-way, the value is one that nobody may see.
fn count(cell: &UnsafeCell<u64>) -> u64 {
    cell.with_mut(|value| {
        // SAFETY: the lock is held, and loom looks whether it keeps others out.
        let value = unsafe { &mut *value };
        assert_ne!(*value, HALF_WAY, "somebody else is half-way");
        let count = *value + 1;
        *value = HALF_WAY;
        *value = count;
        count
    })
}

/// Value of a counter whose holder does not come back.
const HALF_WAY: u64 = 1 << 32;

/// Takes the lock and never gives it back.
fn die_with(lock: &Counter) {
    let guard = lock.lock_within(PATIENT).expect("nobody has it");
    guard.with_mut(|value| {
        // SAFETY: as in `count`.
        unsafe { *value = HALF_WAY }
    });
    core::mem::forget(guard);
}

/// A vCPU that wants the lock: what it counted, or that the container has ended.
fn wants(lock: &Arc<Counter>, looks: u32) -> JoinHandle<Result<u64, Poisoned>> {
    let lock = Arc::clone(lock);
    thread::spawn(move || lock.lock_within(looks).map(|guard| count(&guard)))
}

#[test]
fn in_every_order_one_at_a_time_has_the_lock_and_sees_what_the_last_one_left() {
    loom::model(|| {
        let lock = counter();
        let others = [wants(&lock, PATIENT), wants(&lock, PATIENT)];
        let mut seen = others.map(|other| other.join().expect("no panic").expect("no poison"));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        let guard = lock.lock_within(0).expect("nobody has it");
        assert_eq!(count(&guard), 3);
    });
}

#[test]
fn in_every_order_who_waits_for_a_holder_that_dies_and_says_so_ends() {
    loom::model(|| {
        let lock = counter();
        die_with(&lock);
        // Without the poison it would wait for ever. (Two that do so let loom find the order in which they take
        // turns and the poison never comes.)
        let other = wants(&lock, PATIENT);
        lock.poison();
        assert_eq!(other.join().expect("no panic"), Err(Poisoned));
        assert_eq!(lock.lock_within(PATIENT).err(), Some(Poisoned));
    });
}

#[test]
fn in_every_order_nobody_waits_for_ever_for_a_holder_that_dies_without_a_word() {
    loom::model(|| {
        let lock = counter();
        die_with(&lock);
        // One has patience, and ends because the other has none left.
        let others = [wants(&lock, 2), wants(&lock, PATIENT)];
        for other in others {
            assert_eq!(other.join().expect("no panic"), Err(Poisoned));
        }
    });
}

#[test]
fn in_every_order_a_holder_finishes_and_nobody_follows_it_into_a_container_that_has_ended() {
    loom::model(|| {
        let lock = counter();
        let other = wants(&lock, PATIENT);
        let ender = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.poison())
        };
        let here = lock.lock_within(PATIENT).map(|guard| count(&guard));
        let there = other.join().expect("no panic");
        ender.join().expect("no panic");
        // Whoever had it before the end has done the whole of its work.
        match (here, there) {
            (Ok(a), Ok(b)) => assert_eq!(a + b, 3),
            (Ok(count), Err(Poisoned)) | (Err(Poisoned), Ok(count)) => assert_eq!(count, 1),
            (Err(Poisoned), Err(Poisoned)) => {}
        }
        assert_eq!(lock.lock_within(PATIENT).err(), Some(Poisoned));
    });
}
