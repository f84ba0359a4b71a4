// SPDX-License-Identifier: MIT OR Apache-2.0

//! The other side of the gates: a host that does what a test has it do.

use core::cell::RefCell;
use std::collections::VecDeque;

use cki_abi::layout::{GATE_CALL, GATE_IRET};

use crate::area::Vcpu;
use crate::testing::rules;

type Turn = Box<dyn FnOnce(&Vcpu)>;

thread_local! {
    static HOST: RefCell<VecDeque<Turn>> = const { RefCell::new(VecDeque::new()) };
}

/// What the monitor unwinds with when it exits and the host has no turn left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    pub exit: u64,
    pub arguments: [u64; 6],
}

/// What the host does when the vCPU leaves for it the next time.
pub fn host(turn: impl FnOnce(&Vcpu) + 'static) {
    HOST.with_borrow_mut(|turns| turns.push_back(Box::new(turn)));
}

/// How many turns the host has not had.
pub fn turns_left() -> usize {
    HOST.with_borrow(VecDeque::len)
}

pub fn exit(vcpu: &mut Vcpu) {
    // The next vCPU would wait for who is suspended here. Who leaves for good has poisoned it.
    assert!(!rules().is_held(), "leaves with the lock");
    let turn = HOST.with_borrow_mut(VecDeque::pop_front);
    match turn {
        Some(turn) => turn(vcpu),
        None => {
            let (exit, arguments) = vcpu.switch().exit();
            std::panic::resume_unwind(Box::new(Exited { exit, arguments }));
        }
    }
}

pub fn event_stub(vector: u64) -> u64 {
    0xffff_8000_0020_2000 + 16 * vector
}

pub fn trap_return_address() -> u64 {
    0xffff_8000_0020_1000
}

pub fn in_gate_call(rip: u64) -> bool {
    (GATE_CALL..GATE_IRET).contains(&rip)
}
