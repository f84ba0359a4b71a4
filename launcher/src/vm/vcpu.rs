// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loop of a vCPU's thread.

use super::outside::{Outside, Refused};
use crate::module::{Exit, Fault, ModuleError, Vcpu};

/// Why a vCPU does not run any more.
#[derive(Debug)]
pub enum End {
    /// We killed the container.
    Killed,
    /// The guest ended by itself.
    Shutdown {
        /// `SHUTDOWN_*`.
        reason: u64,
        /// The guest's own.
        code: u64,
    },
    /// The guest kernel panicked; its last words are on the console.
    Panic,
    /// The guest met an exception without a handler.
    GuestFault(Fault),
    /// The monitor ended the container.
    MonitorFault(Fault),
    /// The container's memory broke, or its CPU did.
    MachineCheck(Fault),
    /// The module said something that this launcher does not know.
    Unknown(u32),
    /// The module failed.
    Failed(ModuleError),
    /// We failed: the thread panicked.
    Panicked,
}

/// `serve`, and an end even if it panics: without one, the main thread would wait for ever.
pub fn run(vcpu: &mut dyn Vcpu, outside: &Outside) -> End {
    // Nothing of the two is used after a panic but to end the container.
    let serve = std::panic::AssertUnwindSafe(|| serve(vcpu, outside));
    std::panic::catch_unwind(serve).unwrap_or(End::Panicked)
}

/// Runs the guest until it ends, serving its exits.
fn serve(vcpu: &mut dyn Vcpu, outside: &Outside) -> End {
    loop {
        let exit = match vcpu.run() {
            Ok(exit) => exit,
            Err(ModuleError::Ended) => return End::Killed,
            Err(ModuleError::Interrupted) => continue,
            Err(error) => return End::Failed(error),
        };
        let result: Result<u64, Refused> = match exit {
            Exit::Interrupted => continue,
            Exit::ConsoleWrite { hpa, length } => outside.console_write(hpa, length),
            Exit::ConsoleRead { hpa, length } => outside.console_read(hpa, length),
            Exit::MmioRead {
                device,
                offset,
                size,
            } => outside.mmio_read(device, offset, size),
            Exit::MmioWrite {
                device,
                offset,
                size,
                value,
            } => outside.mmio_write(device, offset, size, value).map(|()| 0),
            Exit::Shutdown { reason, code } => return End::Shutdown { reason, code },
            Exit::Panic { hpa, length } => {
                // What cannot be read is not said; the panic is one all the same.
                let _ = outside.console_write(hpa, length);
                return End::Panic;
            }
            Exit::GuestFault(fault) => return End::GuestFault(fault),
            Exit::MonitorFault(fault) => return End::MonitorFault(fault),
            Exit::MachineCheck(fault) => return End::MachineCheck(fault),
            Exit::Unknown(reason) => return End::Unknown(reason),
        };
        match result {
            Ok(value) => vcpu.complete(0, value),
            Err(status) => vcpu.complete(status, 0),
        }
    }
}
