// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module that knows monitors without a check, on a host that lets nobody into its kernel: it takes none there.
//! Such a host would not take the module itself, which nobody has signed. So lockdown begins while the module is
//! being loaded, when it opens the file with the monitor, and the kernel has judged the module already.

use std::ffi::CString;
use std::fs;
use std::io;
use std::thread;

use anyhow::{Context, Result, ensure};
use cki_abi::uapi::system::missing::MISSING_MONITOR;

use crate::case::Case;
use crate::device::System;
use crate::machine;

/// A monitor that lacks a check.
const MONITOR: &str = "/mutant";
const SECURITY: &str = "/sys/kernel/security";

/// All of them, by name. Nobody ends a lockdown.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![(
        "under_lockdown_no_monitor_without_a_check_is_taken",
        Box::new(lockdown),
    )]
}

/// Loads the module with that monitor: what it finds missing.
fn load() -> Result<u32> {
    machine::load("/cki.ko", &format!("pool=32M monitor={MONITOR}"))?;
    let info = System::open()?.info()?;
    Ok(info.missing)
}

fn lockdown() -> Result<()> {
    machine::mount("securityfs", SECURITY)?;
    machine::unload("cki")?;
    let before = load()?;
    ensure!(before == 0, "without lockdown: {before:#x}");
    machine::unload("cki")?;
    let gate = Gate::new()?;
    let during = thread::scope(|scope| {
        let begins = scope.spawn(|| {
            let file = gate.wait()?;
            fs::write(format!("{SECURITY}/lockdown"), "integrity").context("lockdown")?;
            gate.open(file)
        });
        let during = load();
        begins.join().expect("it does not panic")?;
        during
    })?;
    ensure!(during == MISSING_MONITOR, "under lockdown: {during:#x}");
    Ok(())
}

/// Who opens the monitor waits here (fanotify(7)).
struct Gate(i32);

impl Gate {
    fn new() -> Result<Self> {
        let path = CString::new(MONITOR)?;
        // SAFETY: a new descriptor, and a string that lives across the call.
        unsafe {
            let descriptor = libc::fanotify_init(libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC, 0);
            ensure!(descriptor >= 0, "fanotify: {}", io::Error::last_os_error());
            let mark = libc::fanotify_mark(
                descriptor,
                libc::FAN_MARK_ADD,
                libc::FAN_OPEN_PERM,
                libc::AT_FDCWD,
                path.as_ptr(),
            );
            ensure!(mark == 0, "mark: {}", io::Error::last_os_error());
            Ok(Gate(descriptor))
        }
    }

    /// Waits until somebody comes: the descriptor of the file that is opened.
    fn wait(&self) -> Result<i32> {
        let mut event = [0u64; 512];
        // SAFETY: a buffer of that size that lives across the call.
        let length = unsafe { libc::read(self.0, event.as_mut_ptr().cast(), 4096) };
        ensure!(length > 0, "fanotify: {}", io::Error::last_os_error());
        // Of struct fanotify_event_metadata: event_len to metadata_len, mask, fd and pid.
        Ok(event[2] as i32)
    }

    /// Lets them through.
    fn open(&self, fd: i32) -> Result<()> {
        let answer = libc::fanotify_response {
            fd,
            response: libc::FAN_ALLOW,
        };
        let size = size_of_val(&answer);
        // SAFETY: a structure that lives across the call.
        let written = unsafe { libc::write(self.0, (&raw const answer).cast(), size) };
        ensure!(
            written == size as isize,
            "fanotify: {}",
            io::Error::last_os_error()
        );
        Ok(())
    }
}
