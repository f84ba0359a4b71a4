//! When an event may be delivered.
//!
//! The guest's interrupt flag is a byte of its own; the physical one is always 1 (I9). User mode
//! runs with the byte 0, so that an entry from user mode is exactly "interrupts off". None of
//! this protects anyone but the guest from itself: whatever the answer, the guest is
//! entered at its own rights, at an address that it chose.

use cki_abi::layout::{SLOT_BASE, SLOT_END};

use crate::iret::{ReturnFrame, is_canonical, sysret_target};
use crate::refusal::Refusal;

/// Where the guest's entry code is (KSM_ENTRY_CODE_SET).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCode {
    start: u64,
    end: u64,
    check: u64,
    sysret: u64,
}

/// What the monitor does about a pending event after an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Enter the guest's handler for events in user mode.
    User,
    /// Enter the guest's handler for events at CPL 0.
    Kernel,
    /// Enter the handler for user mode, as if SYSRET had been executed; this is where to.
    AfterSysret(ReturnFrame),
    /// Resume at this address, where the guest looks for pending events itself.
    Restart(u64),
    /// Resume. The event stays pending, and the guest looks when it sets its flag.
    Hold,
}

impl EntryCode {
    /// Takes over what the guest states.
    ///
    /// # Errors
    ///
    /// [`Refusal::Address`] for one that is not canonical or in slot 256, or a range that spans the
    /// slot: what is decided for entry code must never be decided for the monitor's. [`Refusal::Argument`] unless
    /// start <= check <= sysret < end (or all are 0: no entry code).
    pub fn new(start: u64, end: u64, check: u64, sysret: u64) -> Result<Self, Refusal> {
        let code = EntryCode {
            start,
            end,
            check,
            sysret,
        };
        if code == EntryCode::default() {
            return Ok(code);
        }
        for address in [start, end, check, sysret] {
            entry_address(address)?;
        }
        if start < SLOT_END && end > SLOT_BASE {
            return Err(Refusal::Address);
        }
        if start <= check && check <= sysret && sysret < end {
            Ok(code)
        } else {
            Err(Refusal::Argument)
        }
    }

    /// Decides for a vCPU interrupted at `rip`: at CPL 3 if `user`, with the guest's flag `flag`.
    /// `sysret` is (rcx, r11, rsp).
    #[must_use]
    pub fn decide(&self, user: bool, rip: u64, flag: bool, sysret: (u64, u64, u64)) -> Delivery {
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
        if rip == self.sysret {
            let (rcx, r11, rsp) = sysret;
            return sysret_target(rcx, r11, rsp).map_or(Delivery::Hold, Delivery::AfterSysret);
        }
        if (self.check..self.sysret).contains(&rip) {
            return Delivery::Restart(self.check);
        }
        Delivery::Hold
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
