// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers of the steps that the guest `attack` knows, with their operands.

/// The end: shut down with 0.
pub const END: u64 = 0;
/// A call of the monitor's: number, four arguments.
pub const CALL: u64 = 1;
/// Remembers the word at an address.
pub const LOAD: u64 = 2;
/// Stores a word: address, value.
pub const STORE: u64 = 3;
/// INVLPG: address.
pub const INVALIDATE: u64 = 4;
/// CALL: address, eax.
pub const GO: u64 = 5;
/// GATE_IRET: RIP (0: the next step), CS, RFLAGS, SS; RSP stays.
pub const IRET: u64 = 6;
/// Remembers RFLAGS.
pub const FLAGS: u64 = 7;
/// OUT: port, byte.
pub const OUT: u64 = 8;
/// CLI.
pub const CLI: u64 = 9;
/// WRMSR: number, value.
pub const WRMSR: u64 = 10;
/// MOV to CR3: value.
pub const CR3: u64 = 11;
/// UD2.
pub const UD2: u64 = 12;
/// A single-step trap that leads to the next step: RSP, as the monitor stores it in the guest's
/// `struct cki_vcpu_info`.
pub const TRAP: u64 = 13;
/// Counts down from a number, without a call and without a store.
pub const COUNT: u64 = 14;
