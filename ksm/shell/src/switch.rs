// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page that module and monitor hand each other, `struct cki_vcpu_switch`.
//!
//! The module reads and writes it between two entries of the vCPU as it likes, and reads single words of it at any
//! time from other CPUs. So it is never anything but single words here, read and written atomically.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use cki_abi::monitor::{Refusal as Record, VcpuSwitch};
use cki_ksm_core::Refusal;

/// Words of the page.
const WORDS: usize = size_of::<VcpuSwitch>() / 8;

/// The page of a vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Switch<'v>(&'v [AtomicU64; WORDS]);

macro_rules! word {
    ($field:ident) => {
        const { offset_of!(VcpuSwitch, $field) / 8 }
    };
    (refusal.$field:ident) => {
        const { (offset_of!(VcpuSwitch, refusal) + offset_of!(Record, $field)) / 8 }
    };
}

impl<'v> Switch<'v> {
    /// The page.
    pub const fn new(words: &'v [AtomicU64; WORDS]) -> Self {
        Switch(words)
    }

    fn get(self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    fn set(self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::Relaxed);
    }

    fn get_array<const N: usize>(self, word: usize) -> [u64; N] {
        core::array::from_fn(|index| self.get(word + index))
    }

    fn set_array<const N: usize>(self, word: usize, values: [u64; N]) {
        for (index, value) in values.into_iter().enumerate() {
            self.set(word + index, value);
        }
    }

    /// Only this vCPU counts: no locked addition.
    fn count(self, word: usize) {
        self.add(word, 1);
    }

    fn add(self, word: usize, more: u64) {
        self.set(word, self.get(word).wrapping_add(more));
    }

    /// What the module asks for.
    pub fn operation(self) -> (u64, [u64; 4]) {
        (self.get(word!(operation)), self.get_array(word!(arguments)))
    }

    /// What the module has answered to a hypercall: status and value.
    pub fn answer(self) -> (u64, u64) {
        (self.get(word!(status)), self.get(word!(value)))
    }

    /// How an operation went: status and value.
    pub fn set_answer(self, (status, value): (u64, u64)) {
        self.set(word!(status), status);
        self.set(word!(value), value);
    }

    /// Why the vCPU leaves for the host, and what goes with it.
    pub fn set_exit(self, exit: u64, arguments: [u64; 6]) {
        self.set(word!(exit), exit);
        self.set_array(word!(exit_arguments), arguments);
    }

    /// A call has come by GATE_CALL.
    pub fn count_call(self) {
        self.count(word!(calls));
    }

    /// A return has come by GATE_IRET.
    pub fn count_return(self) {
        self.count(word!(returns));
    }

    /// So many frames more are page tables, modulo 2^64: one less is `u64::MAX`.
    pub fn count_table(self, more: u64) {
        self.add(word!(tables), more);
    }

    /// Where the guest's `struct cki_vcpu_info` is, for the module, which sets events there.
    pub fn set_info(self, hpa: u64) {
        self.set(word!(vcpu_info_hpa), hpa);
    }

    /// Keeps the last refusal for the host to print.
    pub fn record(self, call: u64, arguments: [u64; 4], refusal: Refusal, rip: u64) {
        self.count(word!(refusal.count));
        self.set(word!(refusal.call), call);
        self.set_array(word!(refusal.arguments), arguments);
        self.set(word!(refusal.error), refusal.code());
        self.set(word!(refusal.rip), rip);
    }

    /// The exit, for tests.
    #[cfg(test)]
    pub fn exit(self) -> (u64, [u64; 6]) {
        (self.get(word!(exit)), self.get_array(word!(exit_arguments)))
    }

    /// The counters, for tests: calls, returns, refusals.
    #[cfg(test)]
    pub fn counts(self) -> [u64; 3] {
        [word!(calls), word!(returns), word!(refusal.count)].map(|word| self.get(word))
    }

    /// How many frames are page tables, for tests.
    #[cfg(test)]
    pub fn tables(self) -> u64 {
        self.get(word!(tables))
    }

    /// What the module writes, for tests.
    #[cfg(test)]
    pub fn set_operation(self, operation: u64, arguments: [u64; 4]) {
        self.set(word!(operation), operation);
        self.set_array(word!(arguments), arguments);
    }
}
