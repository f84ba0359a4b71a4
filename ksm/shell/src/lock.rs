// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one lock of a container's monitor.
//!
//! A test compiles this file a second time, with the words and the threads of a model that goes through all orders in
//! which vCPUs can get at it (`tests/lock_model.rs`): hence `super::sync`.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use cki_abi::limits::VCPUS_MAX;

use super::sync::{AtomicU32, Ordering, spin_loop};

/// Somebody holds the lock.
const TAKEN: u32 = 1;
/// Nobody gets it any more.
const POISONED: u32 = 2;

/// Instructions of the longest call of a guest's (I9). The module's operations run before there is anybody to wait.
pub const LONGEST_CALL: u64 = 20_000;
/// Instructions of a look at a lock that another holds, at least: compare and exchange, what became of it, PAUSE.
/// So many of the holder's take no longer than they.
pub const LOOK: u64 = 5;
/// How often a vCPU looks at a lock that another holds: as long as all vCPUs together may hold it, one call each.
/// A holder that does not come back is not waited for longer than this.
pub const PATIENCE: u32 = (VCPUS_MAX * LONGEST_CALL).div_ceil(LOOK) as u32;

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
    /// An open lock: `state` is 0. (A model's words are made at run time, so nothing constant makes them.)
    pub const fn new(state: AtomicU32, value: T) -> Self {
        Lock {
            state,
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
        // A test's threads stop and go as their host likes.
        self.lock_within(if cfg!(test) { u32::MAX } else { PATIENCE })
    }

    /// The same, with so many looks at a lock that another holds. Who has looked as often poisons it.
    ///
    /// # Errors
    ///
    /// [`Poisoned`].
    #[inline]
    pub fn lock_within(&self, looks: u32) -> Result<Guard<'_, T>, Poisoned> {
        match self.take() {
            Ok(guard) => Ok(guard),
            Err(_) => self.wait(looks),
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
    fn wait(&self, looks: u32) -> Result<Guard<'_, T>, Poisoned> {
        for _ in 0..looks {
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
