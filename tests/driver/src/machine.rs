// SPDX-License-Identifier: MIT OR Apache-2.0

//! What PID 1 has to do before and after.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use anyhow::{Context, Result};

/// The ports, by which the machine is ended: opened at its start, because lockdown forbids it.
static PORT: OnceLock<File> = OnceLock::new();

/// Mounts a file system of the kernel.
pub fn mount(kind: &str, at: &str) -> Result<()> {
    fs::create_dir_all(at)?;
    let (kind, target) = (CString::new(kind)?, CString::new(at)?);
    // SAFETY: strings that live across the call.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("mount {at}"));
    }
    Ok(())
}

/// Mounts what there is to mount and loads the module with the parameters on the kernel's command
/// line (`cki.NAME=VALUE`).
pub fn set_up() -> Result<()> {
    mount("devtmpfs", "/dev")?;
    let port = OpenOptions::new().write(true).open("/dev/port");
    PORT.get_or_init(|| port.expect("/dev/port"));
    mount("proc", "/proc")?;
    mount("sysfs", "/sys")?;
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")?;
    for fd in 0..3 {
        // SAFETY: the console is open; these three are free or the kernel's own console.
        unsafe { libc::dup2(console.as_raw_fd(), fd) };
    }
    load("/cki.ko", &parameters()?)
}

/// The module's parameters, as the kernel's command line has them.
pub fn parameters() -> Result<String> {
    let line = fs::read_to_string("/proc/cmdline")?;
    let parameters: Vec<_> = line
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("cki."))
        .collect();
    Ok(parameters.join(" "))
}

/// Loads a module.
pub fn load(path: &str, parameters: &str) -> Result<()> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    let parameters = CString::new(parameters)?;
    // SAFETY: a descriptor and a string that live across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            parameters.as_ptr(),
            0,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("load {path}"));
    }
    Ok(())
}

/// Unloads a module that nobody uses.
pub fn unload(name: &str) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: a string that lives across the call.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) };
    if result != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("unload {name:?}"));
    }
    Ok(())
}

/// Ends the machine.
pub fn end(passed: bool) -> ! {
    // What the console still has to print.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut port = PORT.get().expect("the machine was set up");
    port.seek(SeekFrom::Start(0xf4)).expect("the exit port");
    let _ = port.write_all(&[if passed { 0x10 } else { 0x11 }]);
    loop {
        std::thread::park();
    }
}
