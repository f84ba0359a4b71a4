// SPDX-License-Identifier: MIT OR Apache-2.0

//! When an event may be delivered.
//!
//! The guest's interrupt flag is a byte of its own; the physical one is always 1 (I9). User mode
//! runs with the byte 0, so that an entry from user mode is exactly "interrupts off". None of
//! this protects anyone but the guest from itself: whatever the answer, the guest is
//! entered at its own rights, at an address that it chose.

use cki_abi::layout::{SLOT_BASE, SLOT_END};
use cki_abi::limits::RETURNS_MAX;

use crate::iret::is_canonical;
use crate::refusal::Refusal;

/// A return to user mode without a call (KSM_RETURN_SET): SYSRET, or IRETQ to CPL 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReturnWindow {
    check: u64,
    at_return: u64,
    undo: u64,
}

impl ReturnWindow {
    /// Takes over what the guest states: where it looks for events, where it returns, and where it takes
    /// its SWAPGS back.
    ///
    /// # Errors
    ///
    /// [`Refusal::Address`] for an address that is not canonical or in slot 256, [`Refusal::Argument`]
    /// unless check <= at_return (or all are 0: no such return).
    pub fn new(check: u64, at_return: u64, undo: u64) -> Result<Self, Refusal> {
        let window = ReturnWindow {
            check,
            at_return,
            undo,
        };
        if window == ReturnWindow::default() {
            return Ok(window);
        }
        for address in [check, at_return, undo] {
            entry_address(address)?;
        }
        if check <= at_return {
            Ok(window)
        } else {
            Err(Refusal::Argument)
        }
    }

    /// Where a guest that was interrupted at `rip` with an event pending goes on, if `rip` is in here.
    #[must_use]
    fn restart(&self, rip: u64) -> Option<u64> {
        if self.at_return == 0 {
            None
        } else if rip == self.at_return {
            Some(self.undo)
        } else if (self.check..self.at_return).contains(&rip) {
            Some(self.check)
        } else {
            None
        }
    }
}

/// The guest's entry code (KSM_ENTRY_CODE_SET, KSM_RETURN_SET). All 0, as at first: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCode {
    /// First address, from [`entry_range`].
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// The returns to user mode in it.
    pub returns: [ReturnWindow; RETURNS_MAX as usize],
}

/// What the monitor does about a pending event after an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Enter the guest's handler for events in user mode.
    User,
    /// Enter the guest's handler for events at CPL 0.
    Kernel,
    /// Resume at this address, from which the guest comes to look for pending events itself.
    Restart(u64),
    /// Resume. The event stays pending, and the guest looks when it sets its flag.
    Hold,
}

impl EntryCode {
    /// Decides for a vCPU interrupted at `rip`: at CPL 3 if `user`, with the guest's flag `flag`.
    #[must_use]
    pub fn decide(&self, user: bool, rip: u64, flag: bool) -> Delivery {
        if user {
            return Delivery::User;
        }
        if !(self.start..self.end).contains(&rip) {
            // The monitor's own text counts as entry code: GATE_IRET looks again before it returns.
            let in_monitor = (SLOT_BASE..SLOT_END).contains(&rip);
            return if flag && !in_monitor {
                Delivery::Kernel
            } else {
                Delivery::Hold
            };
        }
        self.returns
            .iter()
            .find_map(|window| window.restart(rip))
            .map_or(Delivery::Hold, Delivery::Restart)
    }
}

/// The range of the guest's entry code.
///
/// # Errors
///
/// [`Refusal::Address`] for an end that is not canonical or in slot 256, or a range that contains it;
/// [`Refusal::Argument`] unless start < end (or both are 0: no entry code).
pub fn entry_range(start: u64, end: u64) -> Result<(u64, u64), Refusal> {
    if (start, end) == (0, 0) {
        return Ok((0, 0));
    }
    for address in [start, end] {
        entry_address(address)?;
    }
    if start >= end {
        Err(Refusal::Argument)
    } else if start < SLOT_END && end > SLOT_BASE {
        Err(Refusal::Address)
    } else {
        Ok((start, end))
    }
}

/// An address that the CPU will enter the guest at.
///
/// # Errors
///
/// [`Refusal::Address`] unless it is canonical and outside of slot 256. (Inside would gain nothing:
/// it is a jump there at the guest's PKRS.)
pub fn entry_address(address: u64) -> Result<u64, Refusal> {
    if is_canonical(address) && !(SLOT_BASE..SLOT_END).contains(&address) {
        Ok(address)
    } else {
        Err(Refusal::Address)
    }
}
