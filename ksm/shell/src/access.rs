// SPDX-License-Identifier: MIT OR Apache-2.0

//! Getting to the rules.

use cki_abi::faults::FAULT_POISONED;
use cki_abi::monitor::KSM_EXIT_MONITOR_FAULT;

use crate::area::Vcpu;
use crate::end;
use crate::lock::{Guard, Poisoned};
use crate::state::{Rules, lock};

/// The rules, when no other vCPU has them. Where one has ended the container, this one ends, too.
#[inline]
pub fn rules(vcpu: &mut Vcpu) -> Guard<'static, Rules> {
    match lock().lock() {
        Ok(guard) => guard,
        Err(Poisoned) => end::end(
            vcpu,
            KSM_EXIT_MONITOR_FAULT,
            [FAULT_POISONED, 0, 0, 0, 0, 0],
        ),
    }
}
