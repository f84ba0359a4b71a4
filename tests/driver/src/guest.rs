// SPDX-License-Identifier: MIT OR Apache-2.0

//! Puts a guest into a container: text, data, boot page tables.

use anyhow::{Context, Result, bail};
use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2, TABLE_L3, TABLE_L4};
use cki_abi::class::{CLASS_EXEC, CLASS_PT, CLASS_RO};
use cki_abi::start_info::{ClassRange, StartInfo};
use cki_abi::uapi::run::RunPage;
use cki_abi::uapi::run::exits::{
    EXIT_CONSOLE_WRITE, EXIT_GUEST_FAULT, EXIT_MONITOR_FAULT, EXIT_SHUTDOWN,
};
use cki_abi::uapi::start::{BootTable, Seal, Start};

use crate::device::{self, Container, System, Vcpu};
use crate::guests;
use crate::page::{Page, at};
// Everything that is not named below is Data.
pub use crate::page::DATA;

/// Where the guest sees its first 2 MiB; the offsets below are relative to it and to its memory.
pub const BASE: u64 = 0xffff_ffff_8000_0000;
/// Text: 8 frames of Exec.
pub const TEXT: u64 = 0;
/// Page tables: 16 frames of Pt. L4, L3, L2, L1, and free ones.
pub const TABLES: u64 = 0x1_0000;
/// Constants: a frame of Ro.
pub const CONSTANTS: u64 = 0x2_0000;
/// A page that the boot tables do not map.
pub const UNMAPPED: u64 = 0x1f_f000;
/// An Exec frame that is not sealed.
pub const UNSEALED: u64 = 0x7000;
const TEXT_FRAMES: u64 = 8;
pub const TABLE_FRAMES: u64 = 16;
/// Those of them that are tables from the start.
pub const BOOT_TABLES: u64 = 4;
/// Bytes of the container: two chunks, of which the guest maps one.
pub const MEMORY: u64 = 0x40_0000;

/// P, A, D, and W.
pub const READ: u64 = 0x61 | 1 << 63;
/// As READ, writable.
pub const WRITE: u64 = READ | 2;
/// As READ, executable.
pub const EXECUTE: u64 = 0x61;

/// A started container.
#[derive(Debug)]
pub struct Guest {
    pub container: Container,
    pub vcpu: Vcpu,
}

/// A container that is filled in, and what CKI_START gets.
#[derive(Debug)]
pub struct Prepared {
    pub container: Container,
    pub vcpu: Vcpu,
    pub hpa: u64,
    pub classes: Vec<ClassRange>,
    pub seals: Vec<Seal>,
    pub tables: Vec<BootTable>,
    pub info: Box<StartInfo>,
}

/// How a guest ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// HC_SHUTDOWN with this code.
    Code(u64),
    /// A fault of the guest's: vector, error code, CR2, last refusal's error.
    GuestFault {
        vector: u64,
        error: u64,
        address: u64,
    },
    /// A fault of the monitor's: never expected.
    MonitorFault {
        vector: u64,
        error: u64,
        rip: u64,
        address: u64,
    },
}

impl End {
    /// What the run page tells, if it is an end.
    pub fn of(run: &RunPage) -> Option<Self> {
        let fault = run.detail.fault();
        Some(match run.exit_reason {
            EXIT_SHUTDOWN => End::Code(run.detail.shutdown().code),
            EXIT_GUEST_FAULT => End::GuestFault {
                vector: fault.vector,
                error: fault.error_code,
                address: fault.cr2,
            },
            EXIT_MONITOR_FAULT => End::MonitorFault {
                vector: fault.vector,
                error: fault.error_code,
                rip: fault.rip,
                address: fault.cr2,
            },
            _ => return None,
        })
    }
}

impl Prepared {
    /// The guest `name` in `memory` bytes.
    pub fn new(system: &System, name: &str, memory: u64) -> Result<Self> {
        let mut create = device::create(memory);
        let container = system.create(&mut create).context("CKI_CREATE_CONTAINER")?;
        if create.segment_count != 1 {
            bail!("the pool is in pieces: {} segments", create.segment_count);
        }
        Self::load(container, name, create.segments[0].base)
    }

    /// The guest `name` in a container whose first segment begins at `hpa`.
    pub fn load(container: Container, name: &str, hpa: u64) -> Result<Self> {
        let text = guests::text(name).with_context(|| format!("no guest {name}"))?;
        container.write(TEXT as usize, text);
        container.write_word(at!(Page, memory), hpa);
        boot_tables(&container, hpa);
        let vcpu = container.vcpu(0).context("CKI_CREATE_VCPU")?;
        let class = |offset, frames: u64, class: u64| ClassRange {
            base: hpa + offset,
            size: frames << 12,
            class: class as u32,
            reserved: 0,
        };
        let table = |(n, kind): (u64, u64)| BootTable {
            hpa: hpa + TABLES + (n << 12),
            kind: kind as u32,
            reserved: 0,
        };
        Ok(Prepared {
            container,
            vcpu,
            hpa,
            classes: vec![
                class(TEXT, TEXT_FRAMES, CLASS_EXEC),
                class(TABLES, TABLE_FRAMES, CLASS_PT),
                class(CONSTANTS, 1, CLASS_RO),
            ],
            seals: vec![Seal {
                hpa: hpa + TEXT,
                frames: TEXT_FRAMES - 1,
            }],
            tables: [(3, TABLE_L1), (2, TABLE_L2), (1, TABLE_L3), (0, TABLE_L4)]
                .map(table)
                .to_vec(),
            info: Box::default(),
        })
    }

    /// Seals the first `sealed` frames of text only; the others cannot be executed.
    pub fn leave_unsealed(&mut self, sealed: u64) {
        for frame in sealed..TEXT_FRAMES {
            let offset = TEXT + (frame << 12);
            let entry = entry_of(0, offset) as usize;
            self.container.write_word(entry, self.hpa + offset | READ);
        }
        self.seals[0].frames = sealed;
    }

    /// What CKI_START gets, with pointers into this: it stays as it is while that is used.
    pub fn request(&self) -> Start {
        Start {
            start_info: &raw const *self.info as u64,
            classes: self.classes.as_ptr() as u64,
            class_count: self.classes.len() as u32,
            seals: self.seals.as_ptr() as u64,
            seal_count: self.seals.len() as u32,
            tables: self.tables.as_ptr() as u64,
            table_count: self.tables.len() as u32,
            root_hpa: self.hpa + TABLES,
            entry: BASE,
            ..Start::default()
        }
    }

    /// Starts it, after a last change of what CKI_START gets.
    pub fn start(self, change: impl FnOnce(&mut Start, u64)) -> Result<Guest> {
        let mut start = self.request();
        change(&mut start, self.hpa);
        self.container.start(&mut start).with_context(|| {
            format!(
                "CKI_START (operation {}, error {}, index {})",
                start.refusal_op, start.refusal_error, start.refusal_index
            )
        })?;
        let Prepared {
            container, vcpu, ..
        } = self;
        Ok(Guest { container, vcpu })
    }
}

impl Guest {
    /// Loads the guest `name`; `prepare` gets the container and its hpa to write parameters.
    pub fn start(
        system: &System,
        name: &str,
        prepare: impl FnOnce(&Container, u64),
    ) -> Result<Self> {
        Self::start_with(system, name, prepare, |_, _| {})
    }

    /// As `start`, with a last change of what CKI_START gets.
    pub fn start_with(
        system: &System,
        name: &str,
        prepare: impl FnOnce(&Container, u64),
        change: impl FnOnce(&mut Start, u64),
    ) -> Result<Self> {
        let prepared = Prepared::new(system, name, MEMORY)?;
        prepare(&prepared.container, prepared.hpa);
        prepared.start(change)
    }

    /// Runs it to its end, answering what it writes to the console with its length.
    pub fn end(&self) -> Result<(End, RunPage)> {
        loop {
            let run = self.vcpu.run().context("CKI_RUN")?;
            let Some(end) = End::of(&run) else {
                if run.exit_reason == EXIT_CONSOLE_WRITE {
                    self.vcpu.answer(0, run.detail.console().length);
                    continue;
                }
                bail!("unexpected exit {}", run.exit_reason);
            };
            return Ok((end, run));
        }
    }
}

/// The entry of the boot L1 that maps `offset`.
pub fn entry_of(hpa: u64, offset: u64) -> u64 {
    hpa + TABLES + 0x3000 + (offset >> 12) * 8
}

fn boot_tables(container: &Container, hpa: u64) {
    let table = |n: u64| TABLES + (n << 12);
    let link = |n: u64| hpa + table(n) | 0x63;
    container.write_word((table(0) + 511 * 8) as usize, link(1));
    container.write_word((table(1) + 510 * 8) as usize, link(2));
    container.write_word(table(2) as usize, link(3));
    for frame in 0..512 {
        let offset = frame << 12;
        let rights = match offset {
            UNSEALED => READ,
            0..0x8000 => EXECUTE,
            TABLES..0x2_1000 => READ,
            UNMAPPED => continue,
            _ => WRITE,
        };
        container.write_word((table(3) + frame * 8) as usize, hpa + offset | rights);
    }
}
