// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sentences about containers that ended badly.

use std::fmt::Write;

use cki_abi::hypercalls::arguments::{SHUTDOWN_PANIC, SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT};
use cki_abi::vectors::PAGE_FAULT;

use super::vcpu::End;
use crate::module::Fault;
use crate::names;

/// How a container ended, as the end of "the container ...".
#[must_use]
pub fn describe(end: &End) -> String {
    match end {
        End::Killed => "was killed".to_owned(),
        End::Shutdown { reason, code } => match *reason {
            SHUTDOWN_POWEROFF => format!("switched itself off (code {code})"),
            SHUTDOWN_REBOOT => "asked for a restart".to_owned(),
            SHUTDOWN_PANIC => "ended: its kernel panicked".to_owned(),
            other => format!("ended for a reason unknown here ({other}, code {code})"),
        },
        End::Panic => "ended: its kernel panicked".to_owned(),
        End::GuestFault(fault) => {
            format!("ended: its kernel cannot go on: {}", describe_fault(fault))
        }
        End::MonitorFault(fault) => format!(
            "was ended by the monitor, which found itself inconsistent: {}",
            describe_fault(fault)
        ),
        End::MachineCheck(fault) => format!(
            "was ended by an error of the machine's memory or CPU (machine check, address {:#x})",
            fault.cr2
        ),
        End::Unknown(reason) => {
            format!("came back for reason {reason}, which this launcher does not know")
        }
        End::Failed(error) => format!("cannot go on: {error}"),
        End::Panicked => "cannot go on: the launcher failed, as said above".to_owned(),
    }
}

fn describe_fault(fault: &Fault) -> String {
    let mut text = format!(
        "{} (error code {:#x}) at {:#x}",
        names::fault(fault.vector),
        fault.error_code,
        fault.rip
    );
    // The writes cannot fail: it is a String.
    if fault.vector == PAGE_FAULT {
        let _ = write!(text, ", address {:#x}", fault.cr2);
    }
    let _ = write!(text, ", stack {:#x}", fault.rsp);
    let refusal = &fault.refusal;
    if refusal.count != 0 {
        let [a, b, c, d] = refusal.arguments;
        let _ = write!(
            text,
            "; the monitor had refused {} calls, the last {}({a:#x}, {b:#x}, {c:#x}, {d:#x}) from {:#x} with {}",
            refusal.count,
            names::call(refusal.call),
            refusal.rip,
            names::error(refusal.error)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use cki_abi::monitor::Refusal;

    use super::*;

    #[test]
    fn a_fault_is_told_with_the_refusal_before_it() {
        let fault = Fault {
            vector: PAGE_FAULT,
            error_code: 3,
            rip: 0xffff_ffff_8100_1234,
            cr2: 0x40,
            refusal: Refusal {
                count: 2,
                call: cki_abi::calls::KSM_ENTRY_SET,
                error: cki_abi::errors::E_CLASS,
                ..Refusal::default()
            },
            ..Fault::default()
        };
        let text = describe(&End::GuestFault(fault));
        for part in [
            "#PF",
            "0xffffffff81001234",
            "address 0x40",
            "KSM_ENTRY_SET",
            "E_CLASS",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_fault_without_refusals_names_none() {
        let text = describe(&End::MonitorFault(Fault::default()));
        assert!(!text.contains("refused"), "{text}");
    }
}
