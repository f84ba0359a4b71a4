// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the run page counts of a guest.

use anyhow::{Result, ensure};
use cki_abi::calls::arguments::TABLE_L1;
use cki_abi::calls::*;
use cki_abi::uapi::run::RunPage;

use crate::case::Case;
use crate::device::System;
use crate::guest::{BOOT_TABLES, End, Guest, TABLE_FRAMES, TABLES, UNMAPPED, WRITE, entry_of};
use crate::page::parameter;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "the_run_page_counts_exits_by_what_they_were_for",
            Box::new(exits),
        ),
        (
            "the_run_page_counts_page_tables_and_what_the_monitor_refused",
            Box::new(tables),
        ),
    ]
}

/// Runs a guest with these words behind its hpa to its end.
fn run(guest: &str, words: impl Fn(u64) -> Vec<u64>) -> Result<RunPage> {
    let system = System::open()?;
    let guest = Guest::start(&system, guest, |container, hpa| {
        for (index, word) in words(hpa).into_iter().enumerate() {
            container.write_word(parameter(index), word);
        }
    })?;
    let (end, run) = guest.end()?;
    ensure!(matches!(end, End::Code(_)), "ended with {end:x?}");
    Ok(run)
}

fn exits() -> Result<()> {
    const ROUNDS: u64 = 1000;
    let run = run("thousand", |_| vec![ROUNDS])?;
    // The last one is HC_SHUTDOWN.
    ensure!(run.exits_hypercall == 2 * ROUNDS + 1, "{run:?}");
    ensure!(run.hypercalls_yield == ROUNDS, "{run:?}");
    ensure!(run.hypercalls_console == ROUNDS, "{run:?}");
    let others = [
        run.hypercalls_timer_set,
        run.hypercalls_idle,
        run.hypercalls_mmio_read,
        run.hypercalls_mmio_write,
        run.hypercalls_event_send,
        run.exits_machine_check,
        run.monitor_refusals,
        run.idle_ns,
    ];
    ensure!(others == [0; 8], "{run:?}");
    ensure!(
        run.exits_other == run.exits_nmi + run.exits_machine_check,
        "{run:?}"
    );
    let exits = run.exits_hypercall + run.exits_interrupt + run.exits_other;
    // CKI_START enters for the rules, the text, each table and the start itself.
    ensure!(run.entries >= exits + 3 + BOOT_TABLES, "{run:?}");
    ensure!(run.entries < exits + 1000, "{run:?}");
    ensure!(run.monitor_calls == ROUNDS, "{run:?}");
    Ok(())
}

fn tables() -> Result<()> {
    let free = TABLES + (BOOT_TABLES << 12);
    let used = |words: &dyn Fn(u64) -> Vec<u64>| -> Result<(u64, u64)> {
        let run = run("one_call", words)?;
        ensure!(run.page_table_frames == TABLE_FRAMES, "{run:?}");
        Ok((run.page_table_frames_used, run.monitor_refusals))
    };
    let declared = used(&|hpa| vec![KSM_TABLE_DECLARE, hpa + free, TABLE_L1, 0, 0])?;
    ensure!(declared == (BOOT_TABLES + 1, 0), "{declared:?}");
    // It is none, and a page of the host's is nothing to be mapped.
    let released = used(&|hpa| vec![KSM_TABLE_RELEASE, hpa + free, 0, 0, 0])?;
    ensure!(released == (BOOT_TABLES, 1), "{released:?}");
    let mapped = used(&|hpa| {
        let entry = entry_of(hpa, UNMAPPED);
        vec![KSM_ENTRY_SET, entry, 0x10_0000 | WRITE, 0, 0]
    })?;
    ensure!(mapped == (BOOT_TABLES, 1), "{mapped:?}");
    Ok(())
}
