//! Instructions of calls, from the gate's first to its return, on a machine that counts them.
//!
//! The guests take the time stamp counter before and behind a call. What lies between the two RDTSC
//! beside the gate is taken off by the same guest calling a RET.

use anyhow::{Context, Result, ensure};
use cki_abi::calls::arguments::{TABLE_L1, TABLE_USER};
use cki_abi::calls::*;
use cki_abi::hypercalls::arguments::EVENT_IPI;
use cki_abi::hypercalls::*;

use crate::device::System;
use crate::guest::{DATA, End, Guest, TABLES, UNMAPPED, WRITE, entry_of};

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

/// Number and two arguments.
type Call = [u64; 3];
const NO_CALL: Call = [0; 3];

/// Before all rounds, in each, after each; from the hpa of the container's memory.
type Calls = fn(u64) -> [Call; 3];

/// An entry of a table that the guest declares itself.
fn entry_of_user_table(hpa: u64) -> u64 {
    hpa + TABLES + 0x5000 + 8
}

fn declare_user_table(hpa: u64) -> Call {
    [
        KSM_TABLE_DECLARE,
        hpa + TABLES + 0x5000,
        TABLE_L1 | TABLE_USER,
    ]
}

/// What is counted, by name.
const COUNTED: [(&str, Calls); 8] = [
    ("call_version", |_| [NO_CALL, [KSM_VERSION, 0, 0], NO_CALL]),
    ("entry_set_kernel_page", |hpa| {
        let entry = entry_of(hpa, UNMAPPED);
        [
            NO_CALL,
            [KSM_ENTRY_SET, entry, hpa + DATA | WRITE],
            [KSM_ENTRY_SET, entry, 0],
        ]
    }),
    ("entry_set_user_page", |hpa| {
        let entry = entry_of_user_table(hpa);
        [
            declare_user_table(hpa),
            [KSM_ENTRY_SET, entry, hpa + DATA | WRITE | USER],
            [KSM_ENTRY_SET, entry, 0],
        ]
    }),
    ("entry_set_to_nothing", |hpa| {
        let entry = entry_of_user_table(hpa);
        [
            declare_user_table(hpa),
            [KSM_ENTRY_SET, entry, 0],
            [KSM_ENTRY_SET, entry, hpa + DATA | WRITE | USER],
        ]
    }),
    ("flush_pcid", |_| [NO_CALL, [KSM_FLUSH, 0, 0], NO_CALL]),
    ("hypercall_event_send", |_| {
        // To no vCPU: the module looks at the arguments and answers.
        [NO_CALL, [HC_EVENT_SEND, 0, EVENT_IPI], NO_CALL]
    }),
    ("hypercall_timer_set", |_| {
        [NO_CALL, [HC_TIMER_SET, 0, 0], NO_CALL]
    }),
    ("hypercall_yield", |_| [NO_CALL, [HC_YIELD, 0, 0], NO_CALL]),
];

/// Runs a guest of counts.s; what it counted, ascending.
fn run(guest: &str, calls: Calls) -> Result<Vec<u64>> {
    let system = System::open().context("/dev/cki")?;
    let guest = Guest::start(&system, guest, |container, hpa| {
        let words = calls(hpa).concat();
        container.write_word(DATA as usize + 8, ROUNDS);
        for (index, word) in words.into_iter().enumerate() {
            container.write_word(DATA as usize + 16 + 8 * index, word);
        }
    })?;
    let (end, page) = guest.end()?;
    ensure!(
        end == End::Code(0),
        "ended with {end:x?} ({:x?})",
        &page.words[..14]
    );
    let mut counts: Vec<u64> = (0..ROUNDS)
        .map(|round| guest.container.read_word((RESULTS + 8 * round) as usize))
        .collect();
    counts.sort_unstable();
    Ok(counts)
}

fn median(sorted: &[u64]) -> u64 {
    sorted[sorted.len() / 2]
}

/// Prints `count NAME VALUE` lines.
pub fn print() -> Result<()> {
    let nothing = |_| [NO_CALL, [KSM_VERSION, 0, 0], NO_CALL];
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
    // JMP in the place of MOV, CALL, MOV, RET.
    report("iret", &run("count_iret", nothing)?, CALL + RETURN - 1);
    Ok(())
}
