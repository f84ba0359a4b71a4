// SPDX-License-Identifier: MIT OR Apache-2.0

//! An NMI or a machine check in front of every instruction between the host and a container, and a second NMI
//! behind a first one (`tests/driver/src/every_instruction.rs`, on a machine with the emulator's `cki-probe`).
//!
//! Each scenario is a trial: whatever is struck has to go on as if nothing had happened, and the host to get
//! each event once. Then the addresses at which events struck are compared with the instructions of the
//! images, so that none was left out unnoticed. `cki-build check --all` tries all pairs.

// What the harness does not run as a test: what is printed is for the reader of its log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cki_tests::bare::{COUNTING, Machine, Outcome, PASSED, Parts};
use cki_tests::elf::Elf;
use cki_tests::long;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, Mnemonic};
use libtest_mimic::{Arguments, Failed, Trial};

/// Scenarios of the driver: what a guest does again and again,
const SCENARIOS: [&str; 5] = ["hypercall", "call", "event", "iret", "way_to_user_mode"];
/// and what happens once in its life.
const LIVES: [&str; 2] = ["start", "misused_gate"];
/// More cases.
const MORE: [&str; 4] = [
    "machine_check_at_every_instruction_behind_an_nmi_in_a_hypercall",
    "nmi_at_every_instruction_behind_a_machine_check_in_a_hypercall",
    "nmi_at_every_instruction_of_a_hypercall_with_an_alias",
    "second_nmi_behind_one_in_a_start",
];
/// The driver's word for a run of all pairs.
const ALL_PAIRS: &str = " pairs=all";

/// An instruction of the images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The last label before it.
    label: String,
    /// It in words.
    text: String,
    /// What compilers and assemblers fill up with.
    filler: bool,
}

/// Instructions by address.
type Listing = BTreeMap<u64, Place>;

/// Instructions that no scenario executes: behind which label, how they begin, how many, and why.
const OUT_OF_REACH: [(&str, &str, usize, &str); 2] = [
    ("gate_bad", "ud2", 1, "behind a call that does not return"),
    (
        "operation",
        "lea rsp,",
        1,
        "for an operation on a vCPU that has been started, which the module does not ask for",
    ),
];
/// What no decoder knows.
const WRPKRS: [u8; 4] = cki_abi::isa::WRPKRS;
/// Entries for events, of 16 bytes each, one a vector.
const STUBS: &str = "event_stubs";
/// Vectors below are exceptions. Of the others one is the timer's, which strikes when it strikes.
const EXCEPTIONS: u64 = 32;

/// The instructions of a section, or of its part that is written in assembler, as they are at `base`.
fn listing(elf: &Elf, section: &str, base: u64, assembler_only: bool) -> Result<Listing, String> {
    let (index, section) = elf.section(section)?;
    let symbols: Vec<_> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.section == index)
        .collect();
    let end = symbols
        .iter()
        .filter(|symbol| symbol.function && assembler_only)
        .map(|symbol| symbol.value - section.address)
        .min();
    let bytes = &section.bytes[..end.map_or(section.bytes.len(), |end| end as usize)];
    let mut formatter = IntelFormatter::new();
    let mut listing = Listing::new();
    let mut decoder = Decoder::with_ip(64, bytes, base, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let offset = decoder.position() as u64;
        decoder.decode_out(&mut instruction);
        let ours = bytes[offset as usize..].starts_with(&WRPKRS);
        if ours {
            let end = offset as usize + WRPKRS.len();
            decoder
                .set_position(end)
                .map_err(|error| error.to_string())?;
            decoder.set_ip(base + end as u64);
        }
        let label = symbols
            .iter()
            .rfind(|symbol| symbol.value - section.address <= offset)
            .map_or_else(String::new, |symbol| symbol.name.clone());
        let mut text = String::new();
        if ours {
            text.push_str("wrpkrs");
        } else {
            formatter.format(&instruction, &mut text);
        }
        let filler = matches!(instruction.mnemonic(), Mnemonic::Int3 | Mnemonic::Nop);
        let place = Place {
            label,
            text,
            filler,
        };
        listing.insert(base + offset, place);
    }
    Ok(listing)
}

/// The numbers on the lines `WORD SCENARIO ...`, all scenarios together.
fn numbers(outcome: &Outcome, word: &str) -> BTreeSet<u64> {
    outcome
        .console
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix(word)?.strip_prefix(' '))
        .flat_map(str::split_whitespace)
        .filter_map(|word| u64::from_str_radix(word, 16).ok())
        .collect()
}

/// Every instruction was struck, but those that cannot be. Of the stubs of exceptions, those of `struck` are
/// executed at all.
fn none_was_missed(
    parts: &Parts,
    outcome: &Outcome,
    event: &str,
    struck: &[u64],
) -> Result<(), Failed> {
    let hits = numbers(outcome, &format!("hit {event}"));
    let module = *numbers(outcome, "module").first().ok_or("no module")?;
    let monitor = Elf::read(&parts.monitor)?;
    let (_, text) = monitor.section(".text")?;
    let base = text.address;
    let mut all = listing(&monitor, ".text", base, true)?;
    let switch = listing(&Elf::read(&parts.module)?, ".noinstr.text", module, false)?;
    all.extend(switch);

    // What is compiled is struck wherever it is executed; its addresses are instructions.
    let compiled = listing(&monitor, ".text", base, false)?;
    let between: Vec<_> = hits
        .range(base..base + text.bytes.len() as u64)
        .filter(|at| !compiled.contains_key(*at))
        .map(|at| format!("{at:x}"))
        .collect();
    if !between.is_empty() {
        return Err(format!("struck between instructions: {between:?}").into());
    }

    let missed: Vec<_> = all
        .iter()
        .filter(|(at, place)| !hits.contains(at) && !place.filler)
        .collect();
    println!(
        "{event}: {} of {} instructions in assembler were struck, {} in all",
        all.len() - missed.len(),
        all.len(),
        hits.len()
    );
    let (stubs, others): (Vec<_>, Vec<_>) = missed
        .into_iter()
        .partition(|(_, place)| place.label == STUBS);
    let first = all
        .iter()
        .find(|(_, place)| place.label == STUBS)
        .map_or(0, |(at, _)| *at);
    let vectors: BTreeSet<u64> = stubs
        .into_iter()
        .map(|(at, _)| (at - first) / 16)
        .filter(|vector| *vector < EXCEPTIONS)
        .collect();
    let expected: BTreeSet<u64> = (0..EXCEPTIONS).filter(|n| !struck.contains(n)).collect();
    if vectors != expected {
        return Err(format!("vectors whose stubs were not struck: {vectors:?}").into());
    }
    let is = |place: &Place, label: &str, begin: &str| {
        place.label == label && place.text.starts_with(begin)
    };
    for (label, begin, count, reason) in OUT_OF_REACH {
        let found = others
            .iter()
            .filter(|(_, place)| is(place, label, begin))
            .count();
        if found != count {
            return Err(format!("{found} of {label}'s {begin} were not struck: {reason}").into());
        }
    }
    let unexpected: Vec<_> = others
        .iter()
        .filter(|(_, place)| {
            let known = |(label, begin, ..): &(&str, &str, usize, &str)| is(place, label, begin);
            !OUT_OF_REACH.iter().any(known)
        })
        .map(|(at, place)| format!("{at:x} {}: {}", place.label, place.text))
        .collect();
    if unexpected.is_empty() {
        return Ok(());
    }
    Err(format!("not struck: {unexpected:#?}").into())
}

/// The machine's run; the first trial that needs it starts it.
struct Machinery {
    parts: Parts,
    outcome: OnceLock<Result<Outcome, String>>,
}

impl Machinery {
    fn outcome(&self) -> Result<&Outcome, Failed> {
        let pairs = if long() { ALL_PAIRS } else { "" };
        let outcome = self.outcome.get_or_init(|| {
            Machine::new(
                &self.parts,
                &format!("cki.pool=32M every loglevel=1{pairs}"),
            )
            .speed(COUNTING)
            .device("cki-probe")
            .limit(Duration::from_secs(if long() { 7200 } else { 1500 }))
            .run()
        });
        Ok(outcome.as_ref().map_err(String::clone)?)
    }

    fn case(&self, name: &str) -> Result<(), Failed> {
        let outcome = self.outcome()?;
        match outcome.cases().get(name) {
            Some(result) => Ok(result.clone()?),
            None => Err(format!("the machine did not get to it:\n{}", outcome.tail()).into()),
        }
    }

    fn survives(&self) -> Result<(), Failed> {
        let outcome = self.outcome()?;
        if outcome.status == Some(PASSED) {
            return Ok(());
        }
        let status = outcome.status;
        Err(format!("status {status:?}; the console:\n{}", outcome.tail()).into())
    }
}

/// Cases of the driver.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for scenario in SCENARIOS.into_iter().chain(LIVES) {
        names.push(format!("nmi_at_every_instruction_of_a_{scenario}"));
        names.push(format!(
            "machine_check_at_every_instruction_of_a_{scenario}"
        ));
    }
    for scenario in SCENARIOS {
        names.push(format!(
            "second_nmi_at_every_instruction_behind_one_in_a_{scenario}"
        ));
    }
    for name in MORE {
        names.push(name.to_owned());
    }
    names
}

fn trials(parts: Parts) -> Vec<Trial> {
    let machinery = Arc::new(Machinery {
        parts,
        outcome: OnceLock::new(),
    });
    let trial = |name: &str, work: fn(&Machinery, &str) -> Result<(), Failed>| {
        let (machinery, own) = (Arc::clone(&machinery), name.to_owned());
        Trial::test(name, move || work(&machinery, &own))
    };
    let mut trials: Vec<_> = names()
        .iter()
        .map(|name| trial(name, Machinery::case))
        .collect();
    trials.push(trial(
        "an_nmi_has_struck_every_instruction_that_can_be_struck",
        |machinery, _| none_was_missed(&machinery.parts, machinery.outcome()?, "nmi", &[2, 18]),
    ));
    trials.push(trial(
        "a_machine_check_has_struck_every_instruction_that_can_be_struck",
        |machinery, _| none_was_missed(&machinery.parts, machinery.outcome()?, "mce", &[2]),
    ));
    trials.push(trial("the_machine_survives_all_nmis", |machinery, _| {
        machinery.survives()
    }));
    trials
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match Parts::from_environment() {
        Ok(parts) => libtest_mimic::run(&arguments, trials(parts)).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            let failed = Trial::test("nmi_at_every_instruction", move || Err(error.into()));
            libtest_mimic::run(&arguments, vec![failed]).exit_code()
        }
    }
}
