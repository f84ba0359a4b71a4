// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container from CKI_START to its end, again and again, with an event in front of another instruction each
//! time: what happens once in its life.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use cki_abi::layout::{GATE_CALL, GATE_IRET, IMAGE_BASE};
use cki_abi::uapi::run::exits::EXIT_MACHINE_CHECK;

use crate::counter::Counter;
use crate::device::System;
use crate::guest::{End, Guest};
use crate::hits::{EndedByMachineCheck, FAILURES, print_hits};
use crate::page::parameter;
use crate::probe::{Action, Plan, Probe};

/// Longest life that is recorded.
const TRACE: u64 = 1 << 22;

/// The monitor but for its first pages, which are in assembler,
const COMPILED: std::ops::Range<u64> = IMAGE_BASE + 0x2000..IMAGE_BASE + 0x20_0000;
/// where a machine check strikes at one in so many instructions only, unless all are wanted.
const SPARSE: u64 = 8;
/// Instructions behind a first event at which a second one strikes, one after the other; and if all are wanted.
const BEHIND: u64 = 2;
const FAR_BEHIND: u64 = 8;

/// What lives.
#[derive(Debug)]
pub struct Life {
    /// What the test calls it.
    pub name: &'static str,
    /// The guest.
    pub guest: &'static str,
    /// Its parameters.
    pub words: Vec<u64>,
    /// Whether it is to end so.
    pub end: fn(&End) -> bool,
}

impl Life {
    /// One, with what strikes in it.
    fn live(&self, probe: &Probe, plan: &Plan) -> Result<()> {
        let system = System::open()?;
        let guest = Guest::start_with(
            &system,
            self.guest,
            |container, _| {
                for (index, word) in self.words.iter().enumerate() {
                    container.write_word(parameter(index), *word);
                }
            },
            |_, _| probe.plan(plan),
        )?;
        let run = guest.vcpu.run().context("CKI_RUN")?;
        if run.exit_reason == EXIT_MACHINE_CHECK {
            return Err(EndedByMachineCheck.into());
        }
        let end = End::of(&run).context("no end")?;
        ensure!((self.end)(&end), "ended with {end:x?}");
        Ok(())
    }

    /// Where an undisturbed one goes, and how often.
    pub fn record(&self, probe: &Probe) -> Result<BTreeMap<u64, u64>> {
        probe.record(TRACE);
        self.live(probe, &plan(Action::Nothing, 0, 0))?;
        let trace = probe.recorded();
        probe.record(0);
        let mut executions: BTreeMap<u64, u64> = BTreeMap::new();
        for address in &trace {
            *executions.entry(*address).or_default() += 1;
        }
        println!(
            "round {} {} instructions at {} addresses",
            self.name,
            trace.len(),
            executions.len()
        );
        Ok(executions)
    }

    /// The event at the first execution of each instruction of GATE_CALL, and of each that is not in `known`; if `all`,
    /// at the last, too.
    pub fn lives(
        &self,
        probe: &Probe,
        action: Action,
        known: &BTreeMap<u64, u64>,
        all: bool,
    ) -> Result<()> {
        let mut executions = self.record(probe)?;
        let gate = GATE_CALL..GATE_IRET;
        executions.retain(|address, _| !known.contains_key(address) || gate.contains(address));
        if action == Action::MachineCheck && !all {
            // It is held as an NMI is, and each costs a container.
            let mut n = 0;
            executions.retain(|address, _| {
                n += 1;
                !COMPILED.contains(address) || n % SPARSE == 0
            });
        }
        let mut counter = Counter::new()?;
        let mut hits: BTreeSet<u64> = BTreeSet::new();
        let mut failures: Vec<String> = Vec::new();
        let mut ended = 0;
        for (&address, &count) in &executions {
            for first in BTreeSet::from([1, if all { count } else { 1 }]) {
                let result = self.live(probe, &plan(action, first, address));
                let strikes = probe.strikes();
                // With the timer's interrupts in one of the two, the last execution may not come.
                ensure!(
                    first > 1 || strikes.at == [address],
                    "nothing struck at {address:x}"
                );
                hits.extend(strikes.at.iter().copied());
                let seen = counter.taken()?;
                let error = match result {
                    Ok(()) if seen == strikes.at.len() as u64 => continue,
                    Ok(()) => format!("{} events, of which the host saw {seen}", strikes.at.len()),
                    Err(error)
                        if action == Action::MachineCheck
                            && error.downcast_ref::<EndedByMachineCheck>().is_some() =>
                    {
                        ended += 1;
                        continue;
                    }
                    Err(error) => format!("{error:#}"),
                };
                let text = format!("at {address:x}: {error}");
                println!("failure {text}");
                failures.push(text);
                ensure!(
                    failures.len() < FAILURES,
                    "{} went wrong, such as {}",
                    failures.len(),
                    failures[0]
                );
            }
        }
        if action == Action::MachineCheck {
            println!("ended {} {ended} containers", self.name);
        }
        print_hits(action, self.name, &hits);
        ensure!(
            failures.is_empty(),
            "{} went wrong, such as {}",
            failures.len(),
            failures[0]
        );
        Ok(())
    }
}

impl Life {
    /// An NMI at the first execution of each instruction in assembler, and a second one at each of the next few. Where
    /// events are held they become one; the compiled part is all such, and as long as it takes.
    pub fn pairs(&self, probe: &Probe, all: bool) -> Result<()> {
        let mut executions = self.record(probe)?;
        executions.retain(|address, _| !COMPILED.contains(address));
        let mut counter = Counter::new()?;
        let mut hits: BTreeSet<u64> = BTreeSet::new();
        let (mut lives, mut apart) = (0, 0);
        for &address in executions.keys() {
            for second in 1..=if all { FAR_BEHIND } else { BEHIND } {
                let plan = Plan {
                    second,
                    ..plan(Action::Nmi, 1, address)
                };
                let result = self.live(probe, &plan);
                let strikes = probe.strikes();
                let places = || format!("at {:x?}", strikes.at);
                result.with_context(places)?;
                let expected = strikes.at.len() as u64 - strikes.coalesced;
                let seen = counter.taken()?;
                ensure!(
                    seen == expected,
                    "{}: {expected} events, of which the host saw {seen}",
                    places()
                );
                lives += 1;
                apart += u64::from(expected == 2);
                hits.extend(strikes.at);
            }
        }
        println!("pairs {} {lives} lives, {apart} with two", self.name);
        print_hits(Action::Nmi, self.name, &hits);
        ensure!(apart > 0, "no two NMIs were two");
        Ok(())
    }
}

fn plan(action: Action, first: u64, address: u64) -> Plan {
    Plan {
        actions: [action; 2],
        first,
        address,
        second: 0,
    }
}
