// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ending the machine, and saying why.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};

use crate::system::unhung::{self, DiskCounts};

/// Opens the kernel's I/O ports (`/dev/port`, CONFIG_DEVPORT). Must be called while the `/dev`
/// that init mounted is visible; the handle works for ever after. `None` in a CKI container, whose
/// kernel has no ports.
///
/// # Errors
/// When the device is there and cannot be opened.
pub fn io_ports(dev: &Path) -> std::io::Result<Option<File>> {
    match OpenOptions::new().write(true).open(dev.join("port")) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long QEMU may take to end once it was told to: its main thread does that, while the processor goes on, and a
/// busy computer may not let it run at once.
const LAST_MOMENT: Duration = Duration::from_secs(10);

/// Ends the machine: QEMU through its `isa-debug-exit` device, with
/// [`cki_session::exit::VALUE_ENDED`]; a container, which has no ports, by switching it off.
///
/// Returns only on a machine with ports and without that device, where the write goes nowhere.
pub fn end_session(io_ports: Option<&File>) {
    let Some(io_ports) = io_ports else {
        power_off()
    };
    let port = u64::from(cki_session::exit::PORT);
    // A failure leaves the caller to restart the machine, which the host takes for a crash.
    if let Err(error) = io_ports.write_at(&[cki_session::exit::VALUE_ENDED], port) {
        report(&format!("cannot write to I/O port {port:#x}: {error}"));
        return;
    }
    std::thread::sleep(LAST_MOMENT);
}

/// Prints a line on the console, whatever the kernel's log level.
pub fn report(message: &str) {
    // Nothing can be done when the console itself is broken.
    let _ = writeln!(std::io::stderr(), "cki-init: {message}");
}

/// Restarts the machine; under `-no-reboot` QEMU ends, and the host takes that for a crash.
pub fn restart() -> ! {
    leave(RebootMode::RB_AUTOBOOT)
}

/// Switches the machine off, or stops it where there is no ACPI.
pub fn power_off() -> ! {
    leave(RebootMode::RB_POWER_OFF)
}

fn leave(mode: RebootMode) -> ! {
    // A file system that takes nothing does not keep the machine up for ever.
    let mut counts = DiskCounts::open().ok();
    let progress = || counts.as_mut().map_or_else(Vec::new, DiskCounts::read);
    if unhung::within(unhung::LIMIT, progress, nix::unistd::sync).is_err() {
        report("not all that was written to file systems is on their disks: they finish nothing");
    }
    let Err(error) = reboot(mode);
    report(&format!("cannot leave the machine: {error}"));
    // PID 1 must not return; when it exits the kernel panics, which ends the machine too.
    std::process::exit(1)
}
