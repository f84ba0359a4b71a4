// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a vCPU came back to the launcher.

use super::uapi::{Run, exit};

/// What the monitor knows of a container that cannot go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Exception vector.
    pub vector: u64,
    /// Its error code.
    pub error_code: u64,
    /// Where.
    pub rip: u64,
    /// Address of a page fault.
    pub cr2: u64,
    /// Stack.
    pub rsp: u64,
    /// Calls that the monitor has refused.
    pub refusal_count: u64,
    /// Number of the last one.
    pub refusal_call: u64,
    /// Its arguments.
    pub refusal_arguments: [u64; 4],
    /// `E_*`, positive.
    pub refusal_error: u64,
    /// Its return address.
    pub refusal_rip: u64,
}

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
    /// A reason that this launcher does not know.
    Unknown(u32),
}

impl Exit {
    /// Reads the exit off a run page.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let p = &run.payload;
        match run.exit_reason {
            exit::INTR => Exit::Interrupted,
            exit::CONSOLE_WRITE => Exit::ConsoleWrite {
                hpa: p[0],
                length: p[1],
            },
            exit::CONSOLE_READ => Exit::ConsoleRead {
                hpa: p[0],
                length: p[1],
            },
            exit::MMIO_READ => Exit::MmioRead {
                device: p[0],
                offset: p[1],
                size: p[2],
            },
            exit::MMIO_WRITE => Exit::MmioWrite {
                device: p[0],
                offset: p[1],
                size: p[2],
                value: p[3],
            },
            exit::SHUTDOWN => Exit::Shutdown {
                reason: p[0],
                code: p[1],
            },
            exit::PANIC => Exit::Panic {
                hpa: p[0],
                length: p[1],
            },
            exit::GUEST_FAULT => Exit::GuestFault(Fault::of(p)),
            exit::MONITOR_FAULT => Exit::MonitorFault(Fault::of(p)),
            exit::MACHINE_CHECK => Exit::MachineCheck(Fault::of(p)),
            other => Exit::Unknown(other),
        }
    }
}

impl Fault {
    fn of(p: &[u64; 64]) -> Self {
        Fault {
            vector: p[0],
            error_code: p[1],
            rip: p[2],
            cr2: p[3],
            rsp: p[4],
            refusal_count: p[6],
            refusal_call: p[7],
            refusal_arguments: [p[8], p[9], p[10], p[11]],
            refusal_error: p[12],
            refusal_rip: p[13],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(exit_reason: u32) -> Run {
        let mut run = Run {
            exit_reason,
            ..Run::default()
        };
        for (n, word) in run.payload.iter_mut().enumerate() {
            *word = 100 + n as u64;
        }
        run
    }

    #[test]
    fn a_fault_carries_the_last_refusal() {
        let Exit::GuestFault(fault) = Exit::of(&run(exit::GUEST_FAULT)) else {
            panic!("another exit");
        };
        assert_eq!((fault.vector, fault.rsp), (100, 104));
        assert_eq!(fault.refusal_count, 106);
        assert_eq!(fault.refusal_arguments, [108, 109, 110, 111]);
        assert_eq!((fault.refusal_error, fault.refusal_rip), (112, 113));
    }

    #[test]
    fn a_reason_of_a_newer_module_is_told_apart() {
        assert_eq!(Exit::of(&run(99)), Exit::Unknown(99));
    }
}
