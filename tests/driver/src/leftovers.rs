// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is left in processor and memory: nobody finds there what another had, neither a container what its host or the
//! last one had, nor a host what a container had.

use std::arch::asm;
use std::fs::File;
use std::io::{self, Read as _};
use std::mem::offset_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, ensure};
use cki_abi::layout::{CLOCK, VCPU_BASE, VCPU_GDT, VCPU_TSS};
use cki_abi::limits::FRAME_SIZE;
use cki_abi::selectors::GDT_SIZE;
use cki_abi::start_info::Clock;
use cki_abi::uapi::ioctls::RUN;
use cki_abi::uapi::run::exits::{EXIT_INTR, EXIT_SHUTDOWN};

use crate::case::Case;
use crate::device::{self, System};
use crate::guest::{BASE, CONSTANTS, End, Guest, MEMORY, Prepared, TABLES, TEXT};
use crate::moved::{own_id, pin};
use crate::page::{DATA, Page, Registers, parameter};

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "memory_is_zero_whatever_a_container_has_left_there",
            Box::new(memory),
        ),
        (
            "registers_are_their_owners_on_both_sides_of_a_container",
            Box::new(registers),
        ),
        (
            "pages_that_a_guest_may_read_have_nothing_else_in_them",
            Box::new(pages),
        ),
        (
            "a_launcher_reaches_data_only_once_its_container_has_started",
            Box::new(classes),
        ),
        (
            "breakpoints_of_a_launcher_strike_around_a_container_and_not_in_it",
            Box::new(breakpoints),
        ),
    ]
}

/// The one that wants a processor whose number is not 0.
pub fn races() -> Vec<(&'static str, Case)> {
    vec![(
        "a_processors_number_is_the_hosts_around_a_container",
        Box::new(number),
    )]
}

/// What no memory begins with.
const PATTERN: u64 = 0x5ec2_e7f0_5ec2_e7f0;

/// All of the pool: written by a launcher, and the tables and text of a guest's beside.
fn memory() -> Result<()> {
    let system = System::open()?;
    let size = system.info()?.pool_free;
    let words = || (0..size as usize).step_by(size_of::<u64>());
    for round in 0..2 {
        let container = system.create(&mut device::create(size))?;
        let found = words().find(|&at| container.read_word(at) != 0);
        ensure!(
            found.is_none(),
            "round {round}: {found:x?} of {size:#x} is not 0"
        );
        words().for_each(|at| container.write_word(at, PATTERN));
    }
    // As the only container it has the first of what was written last, with tables that the monitor has counted in.
    let guest = Guest::start(&system, "shutdown", |_, _| {})?;
    guest.end()?;
    drop(guest);
    let container = system.create(&mut device::create(size))?;
    let found = words().find(|&at| container.read_word(at) != 0);
    ensure!(
        found.is_none(),
        "behind a guest, {found:x?} of {size:#x} is not 0"
    );
    Ok(())
}

unsafe extern "C" {
    fn call_with_registers(descriptor: i32, request: u64, registers: *mut Registers) -> i64;
}

/// Other values than processors and the kernel begin with.
fn unusual() -> Registers {
    let value = |n: u64| 0x0101_0101_0101_0101 * (n + 0x10);
    let ymm = |n: usize| [value(n as u64), PATTERN, value(n as u64 + 32), !PATTERN];
    Registers {
        ymm: std::array::from_fn(ymm),
        mm0: PATTERN,
        gs_base: 0x1234_5678_9000,
        // Both round down, and all exceptions are masked.
        mxcsr: 0x3f80,
        fcw: 0x067f,
        // Key 1 may be read.
        pkru: 0x5555_5558,
    }
}

/// Two containers, one after the other: the second finds neither the host's registers nor the first one's.
fn registers() -> Result<()> {
    let system = System::open()?;
    for turn in 0..2 {
        let guest = Guest::start(&system, "fpu", |_, _| {})?;
        let before = unusual();
        let mut registers = before.clone();
        let run = loop {
            let descriptor = guest.vcpu.descriptor().as_raw_fd();
            // SAFETY: CKI_RUN takes no argument; the registers are those that a call may clobber, or are put back.
            let result = unsafe { call_with_registers(descriptor, RUN, &mut registers) };
            ensure!(result == 0, "CKI_RUN: {result}");
            let run = guest.vcpu.page();
            // The kernel had work for this thread.
            if run.exit_reason != EXIT_INTR {
                break run;
            }
        };
        ensure!(run.exit_reason == EXIT_SHUTDOWN, "turn {turn}: {run:?}");
        let end = End::of(&run);
        ensure!(
            end == Some(End::Code(0)),
            "turn {turn}: the guest found {end:?}"
        );
        ensure!(
            registers == before,
            "turn {turn}: {registers:x?}, not {before:x?}"
        );
    }
    Ok(())
}

/// What is behind the tables and the clock on their pages.
fn pages() -> Result<()> {
    let system = System::open()?;
    let page = |address: u64, used: u64| (address + used, address + FRAME_SIZE);
    for (from, to) in [
        page(VCPU_BASE + VCPU_GDT, GDT_SIZE),
        page(VCPU_BASE + VCPU_TSS, 104),
        page(CLOCK, size_of::<Clock>() as u64),
    ] {
        let guest = Guest::start(&system, "all_zero", |container, _| {
            container.write_word(parameter(0), from);
            container.write_word(parameter(1), to);
        })?;
        let (end, _) = guest.end()?;
        ensure!(end == End::Code(0), "{from:#x} to {to:#x}: {end:x?}");
    }
    Ok(())
}

/// Text, page tables and constants leave the launcher's mapping, those pages too that it has touched before.
fn classes() -> Result<()> {
    let system = System::open()?;
    let prepared = Prepared::new(&system, "shutdown", MEMORY)?;
    let (writer, _reader) = UnixStream::pair()?;
    let offsets = [TEXT, TABLES, CONSTANTS, DATA];
    for offset in offsets {
        let copied = prepared.container.copy_to(&writer, offset as usize);
        copied.with_context(|| format!("{offset:#x} before the start"))?;
    }
    let guest = prepared.start(|_, _| {})?;
    let again = guest.container.map_again()?;
    for offset in offsets {
        let copied = guest.container.copy_to(&writer, offset as usize);
        // SAFETY: inside of the mapping, which only the kernel reads here.
        let fresh = unsafe {
            libc::write(
                writer.as_raw_fd(),
                again.at::<libc::c_void>(offset as usize),
                1,
            )
        };
        let is_data = offset == DATA;
        ensure!(
            copied.is_ok() == is_data && (fresh == 1) == is_data,
            "{offset:#x} behind the start: {copied:?}, {fresh}"
        );
    }
    Ok(())
}

/// PERF_TYPE_BREAKPOINT, and the size of the structure's first form that has them (linux/perf_event.h).
const BREAKPOINT: u64 = 5;
const SIZE: u64 = 72;
/// HW_BREAKPOINT_W.
const WRITES: u64 = 2;

/// Counts this thread's writes to the word at an address, with a debug register.
fn watch(address: u64) -> Result<File> {
    let mut attributes = [0u64; SIZE as usize / 8];
    attributes[0] = BREAKPOINT | SIZE << 32;
    attributes[6] = WRITES << 32;
    attributes[7] = address;
    attributes[8] = size_of::<u64>() as u64;
    // SAFETY: the structure lives across the call.
    let descriptor =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("watch {address:#x}"));
    }
    // SAFETY: a new descriptor.
    Ok(unsafe { File::from_raw_fd(descriptor as i32) })
}

fn count(mut watched: &File) -> Result<u64> {
    let mut bytes = [0; 8];
    watched.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// One is on a word of this program's, one where the guest has a word that it writes.
fn breakpoints() -> Result<()> {
    let mut own = 0u64;
    let own = &raw mut own;
    let guests = BASE + DATA + offset_of!(Page, scratch) as u64;
    let (own_count, guests_count) = (watch(own as u64)?, watch(guests)?);
    // SAFETY: a local variable.
    let write = || unsafe { own.write_volatile(1) };
    write();
    ensure!(count(&own_count)? == 1, "there are no breakpoints");
    let guest = Guest::start(&System::open()?, "fpu", |_, _| {})?;
    let (end, _) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    write();
    let counts = (count(&own_count)?, count(&guests_count)?);
    ensure!(counts == (2, 0), "{counts:?}");
    Ok(())
}

/// IA32_TSC_AUX, of which Linux has the processor's number in the lower bits.
fn own_number() -> u32 {
    let number: u32;
    // SAFETY: reads registers.
    unsafe { asm!("rdtscp", out("ecx") number, out("eax") _, out("edx") _, options(nostack)) };
    number & 0xfff
}

fn number() -> Result<()> {
    pin(own_id(), 1)?;
    let before = own_number();
    ensure!(before == 1, "this is processor {before}");
    let guest = Guest::start(&System::open()?, "number", |_, _| {})?;
    let (end, _) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    let after = own_number();
    ensure!(
        after == before,
        "this was processor {before} and is {after}"
    );
    Ok(())
}
