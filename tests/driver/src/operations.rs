// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions of what the module has the monitor do at a start, a step at a time: events are held during each, as
//! during a call.
//!
//! The emulator's `cki-probe` records where a start goes. A step is what is of the monitor's between two
//! instructions of the module's.

use anyhow::{Context, Result, bail, ensure};
use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2};
use cki_abi::class::CLASS_PT;
use cki_abi::isa::WRPKRS;
use cki_abi::layout::IMAGE_BASE;
use cki_abi::limits::CHUNK_SIZE;
use cki_abi::start_info::ClassRange;
use cki_abi::uapi::start::BootTable;

use crate::device::{System, create};
use crate::guest::{MEMORY, Prepared, TABLES, WRITE};
use crate::hits::{IMAGE_SIZE, module_text};
use crate::probe::Probe;
use crate::script::LINK;

/// No start of a container here takes more instructions.
const TRACE: u64 = 1 << 21;
/// Frames for tables, behind those of the boot tables or at the beginning of the last segment.
const FRAMES: u64 = 4;
/// Sealed text of the guest that nothing executes.
const TEXT: usize = 0x5000;
const TEXT_SIZE: usize = 0x2000;
const ENTRIES: u64 = 512;

/// The longest step of a start in which each operation has as much to do as it can have: tables without an empty
/// entry, text of which every byte could be the last of WRPKRS, memory in `chunks` of 2 MiB.
///
/// # Errors
/// When a container of so many chunks is not of one segment or of as many.
pub fn longest(system: &System, probe: &Probe, chunks: u64) -> Result<u64> {
    let mut create = create(chunks * CHUNK_SIZE);
    let container = system.create(&mut create)?;
    let segments = &create.segments[..create.segment_count as usize];
    let hpa = segments[0].base;
    // Where a frame is found last, and its place in the mapping.
    let (tables, offset) = match segments {
        [_] => (hpa + TABLES + 0x4000, TABLES + 0x4000),
        [.., last] if segments.len() as u64 == chunks => (last.base, (chunks - 1) * CHUNK_SIZE),
        _ => bail!("{} segments for {chunks} chunks", segments.len()),
    };
    let mut prepared = Prepared::load(container, "shutdown", hpa)?;
    if tables - hpa > MEMORY {
        prepared.classes.push(ClassRange {
            base: tables,
            size: FRAMES << 12,
            class: CLASS_PT as u32,
            reserved: 0,
        });
    }
    prepared.container.write(TEXT, &[WRPKRS[3]; TEXT_SIZE]);
    for (table, value) in [
        // Data of the same segment, and links to the first.
        (0, tables + (FRAMES << 12) + 0x2_0000 | WRITE),
        (1, tables | LINK),
    ] {
        for index in 0..ENTRIES {
            let at = offset + (table << 12) + 8 * index;
            prepared.container.write_word(at as usize, value);
        }
    }
    let added = [(0, TABLE_L1), (1, TABLE_L2)].map(|(n, kind): (u64, u64)| BootTable {
        hpa: tables + (n << 12),
        kind: kind as u32,
        reserved: 0,
    });
    prepared.tables.splice(0..0, added);

    let module = module_text()?;
    probe.arm(&[module, (IMAGE_BASE, IMAGE_BASE + IMAGE_SIZE)]);
    probe.record(TRACE);
    let started = prepared
        .start(|_, _| {})
        .context("the start that is recorded");
    let trace = probe.recorded();
    probe.record(0);
    probe.disarm();
    started?;
    ensure!(
        (trace.len() as u64) < TRACE,
        "a start of more than {TRACE} instructions"
    );
    let of_module = |at: &u64| (module.0..module.1).contains(at);
    let steps = trace.split(of_module).map(<[u64]>::len);
    Ok(steps.max().unwrap_or_default() as u64)
}
