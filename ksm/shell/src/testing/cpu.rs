// SPDX-License-Identifier: MIT OR Apache-2.0

//! A CPU that only remembers what it was told.

use core::cell::{Cell, RefCell};

use crate::area::AreaAddress;

pub const IA32_LSTAR: u32 = 0xc000_0082;
/// DR6 as a CPU has it when nothing has happened: what is reserved reads as 1, and so does bit 11 without a lock of
/// the bus (Intel SDM Vol. 3A 17.2.3).
pub const DR6_NOTHING: u64 = 0xffff_0ff0;

/// What was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    WriteMsr(u32, u64),
    LoadCr3(u64),
    FlushEverything,
}

thread_local! {
    static DONE: RefCell<Vec<Did>> = const { RefCell::new(Vec::new()) };
    pub static DR6: Cell<u64> = const { Cell::new(DR6_NOTHING) };
    pub static PCIDS: Cell<bool> = const { Cell::new(false) };
    pub static PINNED: Cell<bool> = const { Cell::new(true) };
}

/// What was done since this was asked before.
pub fn done() -> Vec<Did> {
    DONE.take()
}

fn note(did: Did) {
    DONE.with_borrow_mut(|done| done.push(did));
}

/// # Safety
///
/// None is needed here.
pub unsafe fn write_msr(number: u32, value: u64) {
    note(Did::WriteMsr(number, value));
}

pub fn has_pcids() -> bool {
    PCIDS.get()
}

pub fn check_pinned(_pcids: bool) -> bool {
    PINNED.get()
}

/// # Safety
///
/// None is needed here.
pub unsafe fn load_cr3(value: u64) {
    note(Did::LoadCr3(value));
}

pub fn flush_everything() {
    note(Did::FlushEverything);
}

pub fn take_dr6() -> u64 {
    DR6.replace(DR6_NOTHING)
}

pub fn cr2() -> u64 {
    0xc2
}

#[allow(dead_code)]
pub fn current_area() -> Option<AreaAddress> {
    unreachable!("panics are caught otherwise")
}

#[allow(dead_code)]
pub fn stop() -> ! {
    unreachable!("panics are caught otherwise")
}
