// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attacks that are carried through: a script for the guest, how the monitor refuses it, and what it
//! would have got. The same script succeeds against a monitor that lacks the check (`tests/mutants`), so a
//! refusal is known to be that check's.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, bail, ensure};
use cki_abi::version::MONITOR_BOOT_MAGIC;

use crate::alarm::Alarm;
use crate::device::System;
use crate::guest::{DATA, End, Guest};
use crate::page::{Script, at};
use crate::script::{CMOS_INDEX, CMOS_MARK, MARK, Plan, Setting};

/// Where the script is in the container's memory.
pub const SCRIPT: u64 = DATA + 0x2000;
/// The last value that the guest remembered.
pub const SEEN: usize = at!(Script, seen);

/// What host memory holds before the attack.
const SECRET: u64 = 0x7365_6372_6574_2e2e;
/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;

/// How the monitor stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A call of the script fails with this error.
    Error(u64),
    /// The container ends by this vector.
    Fault(u64),
    /// Not at all, but the host goes on: its signals end CKI_RUN.
    HostGoesOn,
}

/// What the attack is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// It has read a word of the host's memory and written another there.
    HostMemory,
    /// It has read the monitor's memory.
    MonitorMemory,
    /// It runs with IF = 0.
    InterruptsOff,
    /// It has programmed a device of the host's.
    Device,
    /// The machine, for good: nothing is left that could report it but the silence.
    Cpu,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name, and that of the patch that takes the check out.
    pub name: &'static str,
    /// What it does.
    pub plan: fn(Setting) -> Plan,
    /// What stops it.
    pub refusal: Refusal,
    /// What it gets otherwise.
    pub gain: Gain,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As the monitor's rules have it, without gain.
    Refused(Refusal),
    /// With its gain.
    Succeeded(Gain),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Outcome::Succeeded(gain) => write!(f, "succeeded: {gain:?}"),
        }
    }
}

impl Attack {
    /// Carries it out.
    ///
    /// # Errors
    ///
    /// Neither gain nor the refusal that was to be expected: the attack shows nothing.
    pub fn run(&self) -> Result<Outcome> {
        let system = System::open()?;
        let victim = Victim::new()?;
        set_cmos(0)?;
        let guest = Guest::start(&system, "attack", |container, hpa| {
            let plan = (self.plan)(Setting {
                hpa,
                victim: victim.hpa,
            });
            for (offset, bytes) in &plan.plants {
                container.write(*offset as usize, bytes);
            }
            for (index, word) in plan.script.iter().flatten().enumerate() {
                container.write_word(SCRIPT as usize + 8 * index, *word);
            }
        })?;
        let alarm = (self.refusal == Refusal::HostGoesOn).then(|| Alarm::every(300));
        let end = guest.end();
        drop(alarm);
        let seen = guest.container.read_word(SEEN);
        let gained = match self.gain {
            Gain::HostMemory => seen == SECRET && victim.word() == MARK,
            Gain::MonitorMemory => seen == MONITOR_BOOT_MAGIC,
            Gain::InterruptsOff => seen != 0 && seen & INTERRUPT_FLAG == 0,
            Gain::Device => cmos()? == CMOS_MARK,
            // Whoever gets here has not lost it.
            Gain::Cpu => false,
        };
        if gained {
            return Ok(Outcome::Succeeded(self.gain));
        }
        ensure!(victim.word() == SECRET, "the host's page was written");
        let refused = match (self.refusal, &end) {
            (Refusal::Error(error), Ok((End::Code(code), _))) => code & 0xff == error,
            (Refusal::Fault(expected), Ok((End::GuestFault { vector, .. }, _))) => {
                *vector == expected
            }
            (Refusal::HostGoesOn, Err(error)) => error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.raw_os_error() == Some(libc::EINTR)),
            _ => false,
        };
        if refused {
            return Ok(Outcome::Refused(self.refusal));
        }
        bail!(
            "neither its gain nor {:?}: ended with {:x?}, has seen {seen:#x}",
            self.refusal,
            end.map(|(end, _)| end)
        )
    }
}

/// A page of the host's that a container has no business with.
struct Victim {
    address: *mut u64,
    hpa: u64,
}

const PAGE: usize = 4096;

impl Victim {
    fn new() -> Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_LOCKED,
                -1,
                0,
            )
        };
        ensure!(address != libc::MAP_FAILED, "no page");
        let address: *mut u64 = address.cast();
        // SAFETY: the page is ours.
        unsafe { address.write_volatile(SECRET) };
        let mut entry = [0; 8];
        fs::File::open("/proc/self/pagemap")?
            .read_exact_at(&mut entry, (address as usize / PAGE * 8) as u64)
            .context("/proc/self/pagemap")?;
        // Bits 0 to 54: the frame's number (Documentation/admin-guide/mm/pagemap.rst).
        let number = u64::from_le_bytes(entry) & ((1 << 55) - 1);
        ensure!(number != 0, "/proc/self/pagemap tells no frames");
        Ok(Victim {
            address,
            hpa: number * PAGE as u64,
        })
    }

    fn word(&self) -> u64 {
        // SAFETY: the page is ours.
        unsafe { self.address.read_volatile() }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own.
        unsafe { libc::munmap(self.address.cast(), PAGE) };
    }
}

fn cmos() -> Result<u8> {
    let ports = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/port")?;
    ports.write_all_at(&[CMOS_INDEX], 0x70)?;
    let mut value = [0];
    ports.read_exact_at(&mut value, 0x71)?;
    Ok(value[0])
}

fn set_cmos(value: u8) -> Result<()> {
    let ports = OpenOptions::new().write(true).open("/dev/port")?;
    ports.write_all_at(&[CMOS_INDEX], 0x70)?;
    ports.write_all_at(&[value], 0x71)?;
    ensure!(cmos()? == value, "the CMOS does not keep a byte");
    Ok(())
}
