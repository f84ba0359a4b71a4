// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a vCPU came back.

use cki_abi::uapi::run::exits::*;
use cki_abi::uapi::run::{Console, Fault, Mmio, RunPage, Shutdown};

/// An exit, with what goes with it. The guest chose all numbers in it but `device` and `size`,
/// which the module has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to do: run again.
    Interrupted,
    /// Console output of `length` bytes at `hpa`.
    ConsoleWrite {
        /// Host-physical address.
        hpa: u64,
        /// Bytes.
        length: u64,
    },
    /// Room for `length` bytes of console input at `hpa`.
    ConsoleRead {
        /// Host-physical address.
        hpa: u64,
        /// Bytes.
        length: u64,
    },
    /// Read of a register.
    MmioRead {
        /// Device number.
        device: u64,
        /// Byte offset.
        offset: u64,
        /// 1, 2, 4 or 8.
        size: u64,
    },
    /// Write of a register.
    MmioWrite {
        /// Device number.
        device: u64,
        /// Byte offset.
        offset: u64,
        /// 1, 2, 4 or 8.
        size: u64,
        /// Value.
        value: u64,
    },
    /// The guest ended by itself.
    Shutdown {
        /// `SHUTDOWN_*`.
        reason: u64,
        /// The guest's own.
        code: u64,
    },
    /// The guest kernel panicked; last words of `length` bytes at `hpa`.
    Panic {
        /// Host-physical address.
        hpa: u64,
        /// Bytes.
        length: u64,
    },
    /// The guest met an exception that it has no handler for.
    GuestFault(Fault),
    /// The monitor ended the container.
    MonitorFault(Fault),
    /// The container's memory broke, or its CPU did.
    MachineCheck(Fault),
    /// A reason that this client does not know.
    Unknown(u32),
}

impl Exit {
    /// Reads the exit off a run page.
    #[must_use]
    pub fn of(run: &RunPage) -> Self {
        let detail = &run.detail;
        match run.exit_reason {
            EXIT_INTR => Exit::Interrupted,
            EXIT_CONSOLE_WRITE => {
                let Console { hpa, length, .. } = detail.console();
                Exit::ConsoleWrite { hpa, length }
            }
            EXIT_CONSOLE_READ => {
                let Console { hpa, length, .. } = detail.console();
                Exit::ConsoleRead { hpa, length }
            }
            EXIT_MMIO_READ => Exit::read_of(detail.mmio()),
            EXIT_MMIO_WRITE => Exit::write_of(detail.mmio()),
            EXIT_SHUTDOWN => {
                let Shutdown { reason, code } = detail.shutdown();
                Exit::Shutdown { reason, code }
            }
            EXIT_PANIC => {
                let Console { hpa, length, .. } = detail.console();
                Exit::Panic { hpa, length }
            }
            EXIT_GUEST_FAULT => Exit::GuestFault(detail.fault()),
            EXIT_MONITOR_FAULT => Exit::MonitorFault(detail.fault()),
            EXIT_MACHINE_CHECK => Exit::MachineCheck(detail.fault()),
            other => Exit::Unknown(other),
        }
    }

    pub(crate) fn read_of(access: Mmio) -> Self {
        Exit::MmioRead {
            device: access.device,
            offset: access.offset,
            size: access.size,
        }
    }

    pub(crate) fn write_of(access: Mmio) -> Self {
        Exit::MmioWrite {
            device: access.device,
            offset: access.offset,
            size: access.size,
            value: access.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(exit_reason: u32) -> RunPage {
        let mut run = RunPage {
            exit_reason,
            ..RunPage::default()
        };
        for (n, word) in run.detail.0.iter_mut().enumerate() {
            *word = 100 + n as u64;
        }
        run
    }

    #[test]
    fn a_fault_carries_the_last_refusal() {
        let Exit::GuestFault(fault) = Exit::of(&run(EXIT_GUEST_FAULT)) else {
            panic!("another exit");
        };
        assert_eq!((fault.vector, fault.rsp), (100, 104));
        let refusal = fault.refusal;
        assert_eq!((refusal.count, refusal.call), (106, 107));
        assert_eq!(refusal.arguments, [108, 109, 110, 111]);
        assert_eq!((refusal.error, refusal.rip), (112, 113));
    }

    #[test]
    fn a_reason_of_a_newer_module_is_told_apart() {
        assert_eq!(Exit::of(&run(99)), Exit::Unknown(99));
    }
}
