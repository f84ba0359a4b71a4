// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page of parameters: what tests write there, and guests count there. The assembler files have the offsets of
//! fields from here (`guests.rs`); words that are a guest's own parameters are numbered instead. And the registers that
//! a call is made with.

use std::mem::offset_of;

/// Where the page is in the container's memory.
pub const DATA: u64 = 0x10_0000;

/// As most guests have it.
#[repr(C)]
pub struct Page {
    /// Host-physical address of the container's first byte.
    pub memory: u64,
    parameters: [u64; 5],
    /// What the guest counts: doorbells that were rung, events, single steps.
    pub count: u64,
    /// Deliveries without an event; 1 more, from when the guest takes events.
    pub empty: u64,
    /// A word that is written and read.
    pub scratch: u64,
}

/// As `loop_forever` has it.
#[repr(C)]
pub struct Loop {
    memory: u64,
    parameter: u64,
    /// 1 when the guest is in its loop.
    pub begun: u64,
}

/// As the guest `attack` has it.
#[repr(C)]
pub struct Script {
    memory: u64,
    parameter: u64,
    /// The last value that the guest remembered.
    pub seen: u64,
    /// Address of the step under way.
    pub step: u64,
}

/// As the guests of every.s have it.
#[repr(C)]
pub struct Rounds {
    memory: u64,
    parameters: [u64; 5],
    /// Rounds so far.
    pub rounds: u64,
    /// Events taken.
    pub taken: u64,
    /// What `alias` has read of the monitor's memory.
    pub gain: u64,
    /// Ways to user mode in this round.
    pub ways_so_far: u64,
    /// Events taken at the last look before user mode.
    pub at_looks: u64,
    /// Events that have found user mode.
    pub in_user_mode: u64,
    /// For each of the two ways, the addresses of its look and of its return.
    pub ways: [[u64; 2]; 2],
}

/// As the guest `random` has it.
#[repr(C)]
pub struct Random {
    memory: u64,
    /// The next address, or round.
    pub next: u64,
    /// The one behind the last.
    pub end: u64,
    /// What registers are chosen by.
    pub seed: u64,
    /// Flags that are set,
    pub flags: u32,
    /// and those that may be.
    pub may_be: u32,
    /// The gate that is called, or 0.
    pub gate: u64,
    /// How often a jump came back by a return,
    pub returns: u64,
    /// and by an exception.
    pub exceptions: u64,
    /// Where the next jump goes.
    pub target: u64,
    /// Exceptions after which this guest gives up.
    pub gives_up: u64,
    rest: [u64; 54],
    /// The registers of a jump, and its flags.
    pub registers: [u64; 64],
    /// What registers are made of.
    pub values: [u64; 64],
}

/// What a thread of a launcher's has in registers that the kernel does not use. leftovers.s has the offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// YMM0 to YMM15.
    pub ymm: [[u64; 4]; 16],
    /// MM0, which is a register of the x87 unit.
    pub mm0: u64,
    /// Base of GS in user mode.
    pub gs_base: u64,
    /// MXCSR.
    pub mxcsr: u32,
    /// PKRU.
    pub pkru: u32,
    /// Control word of the x87 unit.
    pub fcw: u16,
}

/// Where a field is in the container's memory.
macro_rules! at {
    ($page:ty, $field:ident) => {
        $crate::page::DATA as usize + std::mem::offset_of!($page, $field)
    };
}
pub(crate) use at;

/// Where a guest's parameter is in the container's memory: the first is behind the memory's address.
pub const fn parameter(index: usize) -> usize {
    DATA as usize + offset_of!(Page, parameters) + index * size_of::<u64>()
}
