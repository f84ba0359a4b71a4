// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest that has text of its own at the module's addresses: what would resume the module's switch on the
//! guest's page tables would execute that, at the monitor's rights.

use anyhow::{Context as _, Result, ensure};
use cki_abi::calls::arguments::{TABLE_L1, TABLE_L2};
use cki_abi::uapi::start::BootTable;
use cki_abi::version::MONITOR_BOOT_MAGIC;

use crate::device::System;
use crate::guest::{BASE, EXECUTE, Guest, MEMORY, Prepared, TABLES};
use crate::guests;
use crate::page::{Rounds, at};

/// Sealed frames of the guest's text: NOPs, and NOPs with `alias` at the end.
const SLIDE: u64 = 0x5000;
const PAYLOAD: u64 = 0x6000;
/// Free frames for tables.
const L1: u64 = 4;
const L2: u64 = 5;
/// P, A, D, W.
const LINK: u64 = 0x63;
/// NOP.
const NOP: u8 = 0x90;
/// What a 2 MiB table covers.
const REGION: u64 = 1 << 21;
/// Where `alias` leaves what it read of the monitor's memory.
const GAIN: usize = at!(Rounds, gain);

/// The guest `every_hypercall` with this text at `module`, up to its first round.
pub fn prepare(system: &System, module: u64) -> Result<Guest> {
    let payload = guests::text("alias").context("no guest alias")?;
    let mut prepared = Prepared::new(system, "every_hypercall", MEMORY)?;
    let (container, hpa) = (&prepared.container, prepared.hpa);
    let mut text = vec![NOP; 0x2000];
    let end = text.len();
    text[end - payload.len()..].copy_from_slice(payload);
    container.write(SLIDE as usize, &text);

    let table = |n: u64| TABLES + (n << 12);
    let store = |table_offset: u64, index: u64, value: u64| {
        container.write_word((table_offset + (index & 511) * 8) as usize, value);
    };
    // A slide from the page of the switch on, and behind it what it leads to.
    let first = module >> 12;
    ensure!(
        first % 512 < 509,
        "the module's text lies at the end of 2 MiB: a table more is needed"
    );
    for (page, frame) in [(0, SLIDE), (1, SLIDE), (2, PAYLOAD)] {
        store(table(L1), first + page, hpa + frame | EXECUTE);
    }
    let new = |n: u64, kind: u64| BootTable {
        hpa: hpa + table(n),
        kind: kind as u32,
        reserved: 0,
    };
    let mut tables = vec![new(L1, TABLE_L1)];
    // Linux has modules in the last 2 GiB, of which the guest's own text is the first half's beginning.
    ensure!(
        module >= BASE + REGION,
        "the module is not where modules are"
    );
    if module >> 30 == BASE >> 30 {
        store(table(2), module >> 21, hpa + table(L1) | LINK);
    } else {
        store(table(L2), module >> 21, hpa + table(L1) | LINK);
        store(table(1), module >> 30, hpa + table(L2) | LINK);
        tables.push(new(L2, TABLE_L2));
    }
    tables.append(&mut prepared.tables);
    prepared.tables = tables;
    let mut start = prepared.request();
    prepared.container.start(&mut start).with_context(|| {
        format!(
            "CKI_START (operation {}, error {}, index {})",
            start.refusal_op, start.refusal_error, start.refusal_index
        )
    })?;
    let Prepared {
        container, vcpu, ..
    } = prepared;
    Ok(Guest { container, vcpu })
}

/// Whether the guest has got at the monitor's memory.
pub fn has_gained(guest: &Guest) -> bool {
    guest.container.read_word(GAIN) == MONITOR_BOOT_MAGIC
}
