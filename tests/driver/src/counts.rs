// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions of calls, from the gate's first to its return, on a machine that counts them.
//!
//! The guests take the time stamp counter before and behind a call. What lies between the two RDTSC
//! beside the gate is taken off by the same guest calling a RET.

use anyhow::{Context, Result, bail, ensure};
use cki_abi::calls::arguments::*;
use cki_abi::calls::*;
use cki_abi::class::CLASS_PT;
use cki_abi::hypercalls::arguments::EVENT_IPI;
use cki_abi::hypercalls::*;
use cki_abi::isa::WRPKRS;
use cki_abi::limits::{BATCH_MAX, CHUNK_SIZE, POKE_MAX, RELEASE_LINKS_MAX, SEGMENTS_MAX};
use cki_abi::start_info::ClassRange;

use crate::device::{self, Container, System};
use crate::guest::{
    DATA, End, Guest, MEMORY, Prepared, TABLES, UNMAPPED, UNSEALED, WRITE, entry_of,
};
use crate::operations;
use crate::page::parameter;
use crate::probe::Probe;
use crate::script::LINK;

/// A page of results, at most.
const ROUNDS: u64 = 300;
/// Where counts.s has its results.
const RESULTS: u64 = DATA + 0x1000;
/// Instructions of the guest `count_straight` between the two RDTSC, beside what `count_nothing` has.
const STRAIGHT: u64 = 100;
/// What the guest `count_return` has of the gate: MOV and RET.
const RETURN: u64 = 2;
/// What `count_return` has and `count_straight` has not: MOV and CALL before those two.
const CALL: u64 = 2;
/// U.
const USER: u64 = 4;

/// What is counted in flushes.
const HYPERCALL_FLUSHES: &str = "hypercall_flushes";

/// Number and three arguments.
type Call = [u64; 4];
const NO_CALL: Call = [0; 4];

/// Before all rounds, in each, after each; from the hpa of the container's memory.
type Calls = fn(u64) -> [Call; 3];

fn only(call: Call) -> [Call; 3] {
    [NO_CALL, call, NO_CALL]
}

/// An entry of a table that the guest declares itself.
fn entry_of_user_table(hpa: u64) -> u64 {
    hpa + TABLES + 0x5000 + 8
}

fn declare_user_table(hpa: u64) -> Call {
    let kind = TABLE_L1 | TABLE_USER;
    [KSM_TABLE_DECLARE, hpa + TABLES + 0x5000, kind, 0]
}

fn set(entry: u64, value: u64) -> Call {
    [KSM_ENTRY_SET, entry, value, 0]
}

fn user_page(hpa: u64) -> u64 {
    hpa + DATA | WRITE | USER
}

/// What is counted, by name.
const COUNTED: [(&str, Calls); 11] = [
    ("call_version", |_| only([KSM_VERSION, 0, 0, 0])),
    ("entry_set_kernel_page", |hpa| {
        let entry = entry_of(hpa, UNMAPPED);
        [NO_CALL, set(entry, hpa + DATA | WRITE), set(entry, 0)]
    }),
    ("entry_set_user_page", |hpa| {
        let entry = entry_of_user_table(hpa);
        [
            declare_user_table(hpa),
            set(entry, user_page(hpa)),
            set(entry, 0),
        ]
    }),
    ("entry_set_to_nothing", |hpa| {
        let entry = entry_of_user_table(hpa);
        [
            declare_user_table(hpa),
            set(entry, 0),
            set(entry, user_page(hpa)),
        ]
    }),
    ("entry_exchange_user_page", |hpa| {
        let entry = entry_of_user_table(hpa);
        [
            declare_user_table(hpa),
            [KSM_ENTRY_EXCHANGE, entry, user_page(hpa), 0],
            NO_CALL,
        ]
    }),
    ("root_load", |hpa| only([KSM_ROOT_LOAD, hpa + TABLES, 0, 0])),
    ("flush_pcid", |_| only([KSM_FLUSH, FLUSH_PCID, 0, 0])),
    ("text_poke_5_bytes", |hpa| {
        // Behind the guest's own instructions, in a sealed frame.
        only([KSM_TEXT_POKE, hpa + 0x2100, hpa + DATA + 0x2000, 5])
    }),
    ("hypercall_event_send", |_| {
        // To no vCPU: the module looks at the arguments and answers.
        only([HC_EVENT_SEND, 0, EVENT_IPI, 0])
    }),
    ("hypercall_timer_set", |_| only([HC_TIMER_SET, 0, 0, 0])),
    ("hypercall_yield", |_| only([HC_YIELD, 0, 0, 0])),
];

/// Starts a guest of counts.s.
fn start(guest: &str, calls: Calls, rounds: u64) -> Result<Guest> {
    let system = System::open()?;
    Guest::start(&system, guest, |container, hpa| {
        let words = calls(hpa).concat();
        container.write_word(parameter(0), rounds);
        for (index, word) in words.into_iter().enumerate() {
            container.write_word(parameter(1 + index), word);
        }
    })
}

/// Runs it to its end.
fn finish(guest: &Guest) -> Result<()> {
    let (end, page) = guest.end()?;
    ensure!(
        end == End::Code(0),
        "ended with {end:x?} ({:x?})",
        &page.detail.0[..14]
    );
    Ok(())
}

/// Runs a guest of counts.s; what it counted, ascending.
fn run(guest: &str, calls: Calls) -> Result<Vec<u64>> {
    let guest = start(guest, calls, ROUNDS)?;
    finish(&guest)?;
    let mut counts: Vec<u64> = (0..ROUNDS)
        .map(|round| guest.container.read_word((RESULTS + 8 * round) as usize))
        .collect();
    counts.sort_unstable();
    Ok(counts)
}

/// Frames of text that a container has sealed at its start: all but UNSEALED.
const SEALED: u64 = UNSEALED >> 12;
/// What the guest `count_list` needs of them.
const SEALED_FEW: u64 = 2;

/// What is planted, and calls of which the last is counted.
type Longest = (Vec<(u64, Vec<u8>)>, Vec<Call>);
/// From where things are.
type MakeLongest = fn(&Place) -> Longest;

/// Where a container has things.
struct Place {
    /// hpa of its first byte.
    hpa: u64,
    /// hpa of frames for tables, twelve of them. In memory of many pieces, in the last: to find a frame there
    /// takes longest.
    tables: u64,
}

impl Place {
    fn table(&self, n: u64) -> u64 {
        self.tables + (n << 12)
    }
}

/// How often each is counted.
const TIMES: usize = 5;
/// Where `count_list` has its calls, and a poke its source.
const LIST: u64 = DATA + 0x4000;
const SOURCE: u64 = DATA + 0x3000;
/// Lists of KSM_ENTRY_BATCH, a frame each.
const BATCHES: u64 = DATA + 0x8000;

/// Links all of them to one table, in batches.
fn links(hpa: u64, entries: &[u64], value: u64, first_list: u64) -> Longest {
    let batch = BATCH_MAX as usize;
    let lists = entries.chunks(batch).zip(first_list..);
    lists
        .map(|(entries, n)| {
            let list = BATCHES + (n << 12);
            let words = entries.iter().flat_map(|entry| [*entry, value]);
            let bytes = words.flat_map(u64::to_le_bytes).collect();
            let call = [KSM_ENTRY_BATCH, hpa + list, entries.len() as u64, 0];
            ((list, bytes), call)
        })
        .unzip()
}

/// The longest calls that there are, by kind: as much as the call may name, all of it as costly as
/// can be.
const LONGEST: [(&str, u64, MakeLongest); 6] = [
    ("longest_table_declare", SEALED, |place| {
        let table = place.table(0);
        let calls = vec![
            [KSM_TABLE_DECLARE, table, TABLE_L1, 0],
            [KSM_TABLE_RELEASE, table, 0, 0],
            [KSM_FLUSH, FLUSH_EVERYWHERE, 0, 0],
            [KSM_TABLE_DECLARE, table, TABLE_L4, 0],
        ];
        (vec![], calls)
    }),
    ("longest_table_release", SEALED, |place| {
        let [l1, l2] = [0, 1].map(|n| place.table(n));
        let entries: Vec<_> = (512 - RELEASE_LINKS_MAX..512).map(|i| l2 + 8 * i).collect();
        let (plants, fill) = links(place.hpa, &entries, l1 | LINK, 0);
        let mut calls = vec![
            [KSM_TABLE_DECLARE, l1, TABLE_L1, 0],
            [KSM_TABLE_DECLARE, l2, TABLE_L2, 0],
        ];
        calls.extend(fill);
        calls.push([KSM_TABLE_RELEASE, l2, 0, 0]);
        (plants, calls)
    }),
    ("longest_entry_batch", SEALED, |place| {
        // Links that take the place of links.
        let [first, second, l2] = [0, 1, 2].map(|n| place.table(n));
        let entries: Vec<_> = (0..BATCH_MAX).map(|i| l2 + 8 * i).collect();
        let (mut plants, fill) = links(place.hpa, &entries, first | LINK, 0);
        let (more, replace) = links(place.hpa, &entries, second | LINK, 1);
        plants.extend(more);
        let mut calls = vec![
            [KSM_TABLE_DECLARE, first, TABLE_L1, 0],
            [KSM_TABLE_DECLARE, second, TABLE_L1, 0],
            [KSM_TABLE_DECLARE, l2, TABLE_L2, 0],
        ];
        calls.extend(fill);
        calls.extend(replace);
        (plants, calls)
    }),
    ("longest_exec_seal", SEALED, |place| {
        // Each byte could be the sequence's last.
        let text = (UNSEALED, vec![WRPKRS[3]; 4096]);
        (
            vec![text],
            vec![[KSM_EXEC_SEAL, place.hpa + UNSEALED, 1, 0]],
        )
    }),
    ("longest_exec_seal_of_many", SEALED_FEW, |place| {
        // No byte could be, so that there is time for several.
        let first = place.hpa + (SEALED_FEW << 12);
        let count = SEALED - SEALED_FEW + 1;
        (vec![], vec![[KSM_EXEC_SEAL, first, count, 0]])
    }),
    ("longest_text_poke", SEALED, |place| {
        let source = (SOURCE, vec![WRPKRS[3]; 4096]);
        // Up to the frame's end, whose edge is looked at, too.
        let target = place.hpa + UNSEALED - POKE_MAX;
        let poke = [KSM_TEXT_POKE, target, place.hpa + SOURCE + 3, POKE_MAX];
        (vec![source], vec![poke])
    }),
];

/// Runs `count_list`; what its last call took.
fn run_list(container: Container, place: &Place, sealed: u64, longest: MakeLongest) -> Result<u64> {
    let mut prepared = Prepared::load(container, "count_list", place.hpa)?;
    prepared.leave_unsealed(sealed);
    if place.tables - place.hpa > MEMORY {
        prepared.classes.push(ClassRange {
            base: place.tables,
            size: 12 << 12,
            class: CLASS_PT as u32,
            reserved: 0,
        });
    }
    let (plants, calls) = longest(place);
    for (offset, bytes) in plants {
        prepared.container.write(offset as usize, &bytes);
    }
    let last = calls.len() - 1;
    let mut words: Vec<u64> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        words.extend(call);
        words.push(u64::from(index == last));
    }
    words.push(u64::MAX);
    for (index, word) in words.into_iter().enumerate() {
        let offset = LIST as usize + 8 * index;
        prepared.container.write_word(offset, word);
    }
    let guest = prepared.start(|_, _| {})?;
    finish(&guest)?;
    Ok(guest.container.read_word(RESULTS as usize))
}

/// Each is a single call, and an interrupt that waited for its end may be in the count: the least of some.
fn count_longest(system: &System, chunks: u64, sealed: u64, longest: MakeLongest) -> Result<u64> {
    let mut counts = Vec::new();
    for _ in 0..TIMES {
        let mut create = device::create(chunks * CHUNK_SIZE);
        let container = system.create(&mut create)?;
        let segments = &create.segments[..create.segment_count as usize];
        ensure!(
            segments.len() == 1 || segments.len() as u64 == chunks,
            "{} segments for {chunks} chunks",
            segments.len()
        );
        let hpa = segments[0].base;
        let tables = match segments {
            [_] => hpa + TABLES + 0x4000,
            [.., last] => last.base,
            [] => bail!("no memory"),
        };
        counts.push(run_list(
            container,
            &Place { hpa, tables },
            sealed,
            longest,
        )?);
    }
    Ok(counts.into_iter().min().unwrap_or(u64::MAX))
}

/// Takes chunks of the pool so that what is left is in pieces; how many, at most as many as a container
/// can have.
fn break_up_pool(system: &System) -> Result<(Vec<Container>, u64)> {
    let free = system.info()?.pool_free / CHUNK_SIZE;
    let pieces = (free / 2).min(SEGMENTS_MAX);
    let mut single = Vec::new();
    for _ in 0..2 * pieces {
        let mut create = device::create(CHUNK_SIZE);
        let container = system.create(&mut create)?;
        single.push((create.segments[0].base, container));
    }
    // What else there is, in as few containers as may be.
    let mut taken = Vec::new();
    let mut size = free - 2 * pieces;
    while size != 0 {
        match system.create(&mut device::create(size * CHUNK_SIZE)) {
            Ok(container) => taken.push(container),
            Err(error) if size == 1 => return Err(error.into()),
            Err(_) => size = size.div_ceil(2),
        }
        size = size.min(system.info()?.pool_free / CHUNK_SIZE);
    }
    single.sort_by_key(|(hpa, _)| *hpa);
    let odd = single.into_iter().skip(1).step_by(2);
    taken.extend(odd.map(|(_, container)| container));
    Ok((taken, pieces))
}

/// Flushes of a whole TLB that a hypercall takes: of many rounds those of a few taken off, because a start and an
/// end have their own. The timer's interrupts, far fewer than rounds, are lost in the division.
fn flushes(probe: &Probe, calls: Calls) -> Result<u64> {
    let count = |rounds| -> Result<u64> {
        let guest = start("count_flushes", calls, rounds)?;
        let before = probe.flushes();
        finish(&guest)?;
        Ok(probe.flushes() - before)
    };
    let few = ROUNDS / 10;
    Ok((count(ROUNDS)? - count(few)?) / (ROUNDS - few))
}

fn median(sorted: &[u64]) -> u64 {
    sorted[sorted.len() / 2]
}

/// Prints `count NAME VALUE` lines.
pub fn print() -> Result<()> {
    let nothing = |_| only([KSM_VERSION, 0, 0, 0]);
    let empty = run("count_return", nothing)?[0];
    let straight = run("count_straight", nothing)?[0];
    println!("count overhead {empty}");
    println!("count straight_line {}", straight + CALL + RETURN - empty);
    ensure!(
        straight + CALL + RETURN == empty + STRAIGHT,
        "{STRAIGHT} instructions take {} ticks: the time stamp counter does not count instructions",
        straight + CALL + RETURN - empty
    );
    let report = |name: &str, counts: &[u64], gate: u64| {
        println!("count {name}.min {}", counts[0] + gate - empty);
        println!("count {name} {}", median(counts) + gate - empty);
    };
    for (name, calls) in COUNTED {
        report(name, &run("count_call", calls).context(name)?, RETURN);
    }
    let system = System::open()?;
    // Only where the emulator has it.
    let probe = Probe::open().ok();
    let report_operations = |name: &str, chunks| -> Result<()> {
        if let Some(probe) = &probe {
            let count = operations::longest(&system, probe, chunks).context("a start")?;
            println!("count longest_operation{name} {count}");
        }
        Ok(())
    };
    report_operations("", 2 * MEMORY / CHUNK_SIZE)?;
    for (name, sealed, longest) in LONGEST {
        let count = count_longest(&system, MEMORY / CHUNK_SIZE, sealed, longest).context(name)?;
        println!("count {name} {}", count + RETURN - empty);
    }
    let (taken, pieces) = break_up_pool(&system).context("the pool in pieces")?;
    println!("count pieces {pieces}");
    for (name, sealed, longest) in LONGEST {
        let count = count_longest(&system, pieces, sealed, longest).context(name)?;
        println!("count {name}_in_pieces {}", count + RETURN - empty);
    }
    report_operations("_in_pieces", pieces)?;
    drop(taken);
    if let Some(probe) = &probe {
        let count = flushes(probe, |_| only([HC_EVENT_SEND, 0, EVENT_IPI, 0]))?;
        println!("count {HYPERCALL_FLUSHES} {count}");
    }
    // JMP in the place of MOV, CALL, MOV, RET.
    report("iret", &run("count_iret", nothing)?, CALL + RETURN - 1);
    Ok(())
}
