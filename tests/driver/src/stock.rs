// SPDX-License-Identifier: MIT OR Apache-2.0

//! What kernels have that ours leaves out of its configuration, and the module has a part in: suspension, calls of
//! 32-bit programs, local descriptor tables of programs. For a machine with Debian's kernel.

use std::arch::asm;
use std::fs;
use std::io;

use anyhow::{Context, Result, ensure};
use cki_abi::layout::START_INFO;

use crate::case::Case;
use crate::device::System;
use crate::guest::{End, Guest};
use crate::page::parameter;

/// IOCTL of 32-bit programs (arch/x86/entry/syscalls/syscall_32.tbl).
const IOCTL_32: u32 = 54;
/// Selector of the first descriptor of an LDT, for user mode.
const LDT_SELECTOR: u16 = 7;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "a_host_with_containers_is_not_suspended",
            Box::new(suspension),
        ),
        (
            "a_32_bit_call_reaches_the_device",
            Box::new(call_of_32_bits),
        ),
        (
            "a_segment_of_the_programs_own_survives_a_container",
            Box::new(segment),
        ),
    ]
}

/// Freezes all programs for some seconds and lets them go on, which is where the kernel is told to stop.
fn suspend() -> io::Result<()> {
    fs::write("/sys/power/pm_test", "freezer")?;
    fs::write("/sys/module/suspend/parameters/pm_test_delay", "0")?;
    fs::write("/sys/power/state", "freeze")
}

fn suspension() -> Result<()> {
    suspend().context("without containers")?;
    let guest = Guest::start(&System::open()?, "shutdown", |_, _| {})?;
    let error = suspend().expect_err("the host was suspended");
    ensure!(error.raw_os_error() == Some(libc::EBUSY), "{error}");
    drop(guest);
    suspend().context("when the container is gone")
}

fn call_of_32_bits() -> Result<()> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(cki_abi::uapi::DEVICE)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&file) as u32;
    let result: i32;
    // SAFETY: CKI_GET_VERSION, which touches no memory; the kernel clobbers r8 to r11 on this way.
    unsafe {
        asm!("xchg rbx, {number:r}", "int 0x80", "xchg rbx, {number:r}",
             number = inout(reg) u64::from(number) => _,
             inlateout("eax") IOCTL_32 => result,
             in("ecx") cki_abi::uapi::ioctls::GET_VERSION as u32, in("edx") 0,
             out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    let expected = System::open()?.version()?;
    ensure!(result == expected, "{result}, not {expected}");
    Ok(())
}

/// `struct user_desc` for a data segment of 4 GiB with number 0, as words.
static SEGMENT: [u32; 4] = [0, 0, 0xf_ffff, 0b101_0001];

fn segment() -> Result<()> {
    // SAFETY: a new descriptor, which nothing uses yet; the structure lives across the call.
    let result = unsafe { libc::syscall(libc::SYS_modify_ldt, 1, &raw const SEGMENT, 16) };
    ensure!(result == 0, "modify_ldt: {}", io::Error::last_os_error());
    // SAFETY: DS has no meaning in 64-bit code.
    unsafe { asm!("mov ds, {:x}", in(reg) LDT_SELECTOR, options(nostack, preserves_flags)) };
    let end = Guest::start(&System::open()?, "shutdown", |container, _| {
        container.write_word(parameter(0), START_INFO);
    })
    .and_then(|guest| guest.end());
    let (left, found): (u16, u8);
    // SAFETY: reads DS and a descriptor, and gives DS its usual value again.
    unsafe {
        asm!("mov {0:x}, ds", "lsl {1:e}, {2:e}", "setz {3}", "mov ds, {4:x}",
             out(reg) left, out(reg) _, in(reg) u32::from(LDT_SELECTOR), out(reg_byte) found,
             in(reg) 0u16, options(nostack));
    }
    ensure!(matches!(end?.0, End::Code(42)));
    ensure!(
        left == LDT_SELECTOR && found != 0,
        "DS is {left}, found: {found}"
    );
    Ok(())
}
