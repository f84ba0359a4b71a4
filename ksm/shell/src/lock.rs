// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one lock of a container's monitor.

use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use cki_abi::limits::VCPUS_MAX;

/// Somebody holds the lock.
const TAKEN: u32 = 1;
/// Nobody gets it any more.
const POISONED: u32 = 2;

/// Instructions of the longest call of a guest's (I9). The module's operations run before there is anybody to wait.
const LONGEST_CALL: u64 = 20_000;
/// Instructions of a look at a lock that another holds, at least: compare and exchange, what became of it, PAUSE.
/// So many of the holder's take no longer than they.
const LOOK: u64 = 5;
/// How often a vCPU looks at a lock that another holds: as long as all vCPUs together may hold it, one call each.
/// A holder that does not come back is not waited for longer than this.
const PATIENCE: u32 = (VCPUS_MAX * LONGEST_CALL).div_ceil(LOOK) as u32;

/// A spin lock that can be poisoned.
///
/// It is taken at PKRS = 0, where no event interrupts the holder, and never held across a world switch.
/// So waiting is bounded by the longest call (I9), unless the holder does not come back: it has faulted
/// or panicked, or a machine check has struck it. Then its vCPU has poisoned the lock on its way out
/// (`end::end`), or, if not even that was possible, whoever has waited too long does. What the lock
/// guards may be half changed then; nobody gets to it any more, and each vCPU that tries ends.
#[derive(Debug)]
pub struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a Guard only, of which there is one at a time: it is made by the
// change of `state` from 0 to TAKEN, and nothing but its end takes TAKEN away. T is Send, because it is used on
// whichever vCPU takes the lock.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The container has ended: somebody did not come back with the lock, or will not come back at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poisoned;

impl<T> Lock<T> {
    /// An open lock.
    pub const fn new(value: T) -> Self {
        Lock {
            state: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock and takes it.
    ///
    /// # Errors
    ///
    /// [`Poisoned`], at once or while it waits.
    #[inline]
    pub fn lock(&self) -> Result<Guard<'_, T>, Poisoned> {
        match self.take() {
            Ok(guard) => Ok(guard),
            // A test's threads stop and go as their host likes.
            Err(_) => self.wait(if cfg!(test) { u32::MAX } else { PATIENCE }),
        }
    }

    /// The lock, if its state is 0; otherwise that.
    #[inline]
    fn take(&self) -> Result<Guard<'_, T>, u32> {
        self.state
            .compare_exchange(0, TAKEN, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| Guard {
                lock: self,
                here: PhantomData,
            })
    }

    #[cold]
    fn wait(&self, patience: u32) -> Result<Guard<'_, T>, Poisoned> {
        for _ in 0..patience {
            match self.take() {
                Ok(guard) => return Ok(guard),
                Err(state) if state & POISONED != 0 => return Err(Poisoned),
                Err(_) => spin_loop(),
            }
        }
        self.poison();
        Err(Poisoned)
    }

    /// Whether somebody has it and will give it back, for tests.
    #[cfg(test)]
    pub fn is_held(&self) -> bool {
        self.state.load(Ordering::Relaxed) == TAKEN
    }

    /// Lets nobody have the lock from now on. Whoever has it keeps it: for a vCPU that leaves for good, with the
    /// lock or without.
    pub fn poison(&self) {
        self.state.fetch_or(POISONED, Ordering::Relaxed);
    }
}

/// The lock is taken as long as this lives. Not for another vCPU: neither Send nor Sync.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    here: PhantomData<*mut T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Poison stays.
        self.lock.state.fetch_and(!TAKEN, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    const THREADS: usize = 4;

    /// Not atomic: two threads in it at once lose counts.
    #[derive(Default)]
    struct Counts {
        first: u64,
        second: u64,
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        const ROUNDS: u64 = 20_000;
        let lock = Lock::new(Counts::default());
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
            let lock = Lock::new(());
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
        let lock = Lock::new(());
        core::mem::forget(lock.lock().expect("nobody has it"));
        assert_eq!(lock.wait(1000).err(), Some(Poisoned));
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
        let lock = Lock::new(1);
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
        let lock = Lock::new(0);
        thread::scope(|scope| {
            let guard = lock.lock().expect("nobody has it");
            let waiter = scope.spawn(|| lock.lock().map(|guard| *guard));
            drop(guard);
            assert_eq!(waiter.join().expect("no panic"), Ok(0));
        });
    }
}
