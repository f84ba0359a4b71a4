// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a PID 1 does besides: mounts, console, clocks, the end.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

/// Mounts a file system.
pub fn mount_at(source: &str, kind: &str, at: &str, flags: MsFlags) -> Result<()> {
    fs::create_dir_all(at)?;
    mount(Some(source), at, Some(kind), flags, None::<&str>).with_context(|| format!("mount {at}"))
}

/// Mounts the root directory upon itself, as init does: the kernel's first one cannot be left for another, and a
/// launcher leaves the one that it is started in.
pub fn leave_initial_root() -> Result<()> {
    let (place, none) = ("/initial", None::<&str>);
    let what = "leave the initial root directory";
    fs::create_dir_all(place)?;
    mount(Some("/"), place, none, MsFlags::MS_BIND, none).context(what)?;
    std::env::set_current_dir(place)?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none).context(what)?;
    std::os::unix::fs::chroot(".").context(what)?;
    Ok(std::env::set_current_dir("/")?)
}

/// Mounts what the kernel has and makes the console our standard streams.
pub fn set_up() -> Result<()> {
    mount_at("devtmpfs", "devtmpfs", "/dev", MsFlags::empty())?;
    mount_at("proc", "proc", "/proc", MsFlags::empty())?;
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")
        .context("/dev/console")?;
    for fd in 0..3 {
        // SAFETY: the console is open; these three are free or the console already.
        unsafe { libc::dup2(console.as_raw_fd(), fd) };
    }
    Ok(())
}

/// Loads a module.
pub fn load_module(path: &Path, parameters: &str) -> Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    finit_module(file, &CString::new(parameters)?, ModuleInitFlags::empty())
        .with_context(|| format!("load {}", path.display()))
}

/// Nanoseconds that the processor has been idle, as the kernel accounts them. The time stamp counter
/// runs on meanwhile, and nothing is executed.
pub fn idle() -> Result<u64> {
    idle_in(&fs::read_to_string("/proc/timer_list")?).context("no idle time in /proc/timer_list")
}

/// The lines `  .idle_sleeptime : 123 nsecs` and `.iowait_sleeptime` of one processor, added.
fn idle_in(list: &str) -> Option<u64> {
    let value = |name: &str| -> Option<u64> {
        let line = list
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(value(".idle_sleeptime")? + value(".iowait_sleeptime")?)
}

/// Ends the emulator as init does: what came before is complete.
pub fn end_machine() -> Result<()> {
    let port = OpenOptions::new().write(true).open("/dev/port")?;
    // What the console still has to print.
    // SAFETY: the console is descriptor 1.
    unsafe { libc::tcdrain(1) };
    port.write_at(
        &[cki_session::exit::VALUE_ENDED],
        cki_session::exit::PORT.into(),
    )?;
    Ok(())
}

/// Switches a container off.
pub fn power_off() -> Result<()> {
    // SAFETY: the console is descriptor 1.
    unsafe { libc::tcdrain(1) };
    reboot(RebootMode::RB_POWER_OFF).map(|never| match never {})?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let list = "cpu: 0\n  .idle_entrytime  : 9 nsecs\n  .idle_sleeptime : 123456 nsecs\n  .iowait_sleeptime: 1 \
            nsecs\n";
        assert_eq!(idle_in(list), Some(123_457));
        assert_eq!(idle_in("cpu: 0\n"), None);
    }
}
