// SPDX-License-Identifier: MIT OR Apache-2.0

//! One guest, round by round, with an event in front of another instruction in each.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::alias;
use crate::counter::Counter;
use crate::device::{System, Vcpu};
use crate::guest::{BASE, DATA, Guest, UNMAPPED, WRITE, entry_of};
use crate::hits::{ALIAS, EndedByMachineCheck, FAILURES, TEXT_SIZE, USER, module_text, print_hits};
use crate::page::{Rounds, at, parameter};
use crate::probe::{Action, Plan, Probe, Strikes};
use crate::user::{self, Found};
use cki_abi::uapi::run::RunPage;
use cki_abi::uapi::run::exits::{EXIT_CONSOLE_WRITE, EXIT_MACHINE_CHECK};

/// Longest round that is recorded.
const TRACE: u64 = 1 << 20;
/// Rounds in a row without a strike where there had to be one.
const MISSES: usize = 20;
/// How far behind the way of the first event the second one goes.
const BEYOND: u64 = 8;
/// Of the places in the guest, one in so many is taken for a first event.
const SPARSE: u64 = 16;
/// Where the guest counts its rounds.
const ROUNDS: usize = at!(Rounds, rounds);

/// A guest that goes round, and what is known of it.
pub struct Sweep<'a> {
    probe: &'a Probe,
    scenario: &'static str,
    action: Action,
    /// What strikes behind it, in `pairs`.
    second: Action,
    system: System,
    guest: Guest,
    counter: Counter,
    /// Where the last undisturbed round went.
    trace: Vec<u64>,
    hits: BTreeSet<u64>,
    failures: Vec<String>,
    /// Containers that a machine check ended.
    ended: u64,
    rounds: u64,
}

impl<'a> Sweep<'a> {
    /// With the guest of a scenario, events in `singles`, and what comes behind them in `pairs`.
    pub fn new(
        probe: &'a Probe,
        scenario: &'static str,
        action: Action,
        second: Action,
    ) -> Result<Self> {
        let system = System::open()?;
        let guest = start(&system, scenario)?;
        let mut sweep = Sweep {
            probe,
            scenario,
            action,
            second,
            system,
            guest,
            counter: Counter::new()?,
            trace: Vec::new(),
            hits: BTreeSet::new(),
            failures: Vec::new(),
            ended: 0,
            rounds: 0,
        };
        sweep.record()?;
        Ok(sweep)
    }

    /// Where a round goes if nothing happens: the shortest of some, as the timer's interrupts are in others.
    fn record(&mut self) -> Result<()> {
        for _ in 0..8 {
            self.probe.record(TRACE);
            let strikes = self.round(Action::Nothing, 0, 0, 0)?;
            let trace = self.probe.recorded();
            ensure!(
                strikes.executed == trace.len() as u64,
                "a round of {} instructions",
                strikes.executed
            );
            if self.trace.is_empty() || trace.len() < self.trace.len() {
                self.trace = trace;
            }
        }
        self.probe.record(0);
        println!(
            "round {} {} instructions at {} addresses",
            self.scenario,
            self.trace.len(),
            self.addresses().len()
        );
        Ok(())
    }

    fn addresses(&self) -> BTreeSet<u64> {
        self.trace.iter().copied().collect()
    }

    /// One round with what strikes in it.
    fn round(&mut self, action: Action, first: u64, address: u64, second: u64) -> Result<Strikes> {
        self.rounds += 1;
        let before = self.guest.container.read_word(ROUNDS);
        let found = Found::read(&self.guest);
        self.probe.plan(&Plan {
            actions: [action, self.second],
            first,
            address,
            second,
        });
        let run = self.guest.vcpu.run();
        let strikes = self.probe.strikes();
        let run = run.context("CKI_RUN")?;
        let rounds = self.guest.container.read_word(ROUNDS);
        ensure!(
            next(&self.guest.vcpu, &run)? == told(rounds) && rounds == before + 1,
            "{rounds} rounds after {before}"
        );
        let seen = self.counter.taken()?;
        let expected = strikes.at.len() as u64 - strikes.coalesced;
        ensure!(
            action == Action::Nothing || seen == expected,
            "{expected} events, of which the host saw {seen}"
        );
        if let (USER, [first, ..]) = (self.scenario, &strikes.at[..]) {
            found.is_right(&self.guest, *first)?;
        }
        Ok(strikes)
    }

    /// A round in which something goes wrong is noted, and a new guest goes on.
    fn strike(&mut self, first: u64, address: u64, second: u64) -> Result<Option<Strikes>> {
        let error = match self.round(self.action, first, address, second) {
            Ok(strikes) => {
                self.note(&strikes);
                return Ok(Some(strikes));
            }
            Err(error) => error,
        };
        let strikes = self.probe.strikes();
        self.note(&strikes);
        if alias::has_gained(&self.guest) {
            bail!("the guest has read the monitor's memory: {error:#}");
        }
        let ended = self.action == Action::MachineCheck
            && error.downcast_ref::<EndedByMachineCheck>().is_some();
        if ended {
            self.ended += 1;
        } else {
            let places: Vec<_> = strikes.at.iter().map(|at| format!("{at:x}")).collect();
            let text = format!("at {}: {error:#}", places.join(" and "));
            println!("failure {text}");
            self.failures.push(text);
            if self.failures.len() >= FAILURES {
                self.verdict()?;
            }
        }
        self.guest = start(&self.system, self.scenario)?;
        self.counter.taken()?;
        // The first round of a guest is another one: it sets itself up.
        self.round(Action::Nothing, 0, 0, 0)?;
        Ok(ended.then_some(strikes))
    }

    /// Where events of the kind that is tested have struck.
    fn note(&mut self, strikes: &Strikes) {
        let skip = usize::from(self.action != self.second);
        self.hits.extend(strikes.at.iter().skip(skip));
    }

    /// One event at each instruction of a round.
    pub fn singles(mut self) -> Result<()> {
        for n in 1..=self.trace.len() as u64 {
            self.strike(n, 0, 0)?;
        }
        // An interrupt of the host's may have been in the way.
        for address in self.addresses() {
            let mut tries = 0;
            while !self.hits.contains(&address) {
                ensure!(tries < MISSES, "nothing struck at {address:x}");
                tries += 1;
                self.strike(1, address, 0)?;
            }
        }
        print_hits(self.action, self.scenario, &self.hits);
        self.verdict()
    }

    /// A first event, and a second one at each instruction of its way: up to where the round goes on as usual,
    /// and some further.
    pub fn pairs(mut self, all: bool) -> Result<()> {
        for (first, way) in self.firsts(all)? {
            let mut second = 0;
            while second < way {
                second += 1;
                if let Some(strikes) = self.strike(first, 0, second)? {
                    if strikes.at.len() < 2 {
                        break;
                    }
                }
            }
        }
        println!("pairs {} {} rounds", self.scenario, self.rounds);
        print_hits(self.second, self.scenario, &self.hits);
        self.verdict()
    }

    /// First events for `pairs`: in front of which instruction of the round, and how long their way is. Of those
    /// that arrive at the same place, the first and the last are taken; of places in the guest, where one is as good
    /// as another, one in sixteen; or all.
    fn firsts(&mut self, all: bool) -> Result<Vec<(u64, u64)>> {
        let count = self.trace.len();
        let mut arrivals: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for first in 1..=count as u64 {
            self.probe.record(TRACE);
            if self.strike(first, 0, 0)?.is_none() {
                continue;
            }
            let trace = self.probe.recorded();
            let index = arrival(&self.trace, &trace, first as usize - 1);
            let place = index.map_or(0, |index| self.trace[index]);
            let held = index.map_or(0, |index| index as u64 + 1 - first);
            let way = held + trace.len().saturating_sub(count) as u64 + BEYOND;
            arrivals.entry(place).or_default().push((first, way));
        }
        self.probe.record(0);
        println!("arrivals {} at {} places", self.scenario, arrivals.len());
        let in_guest = |place: u64| (BASE..BASE + TEXT_SIZE).contains(&place);
        let mut guest = 0;
        let mut firsts = BTreeSet::new();
        for (place, list) in arrivals {
            guest += u64::from(in_guest(place));
            if all {
                firsts.extend(list);
            } else if !in_guest(place) || guest % SPARSE == 1 {
                firsts.extend(list.first());
                firsts.extend(list.last());
            }
        }
        Ok(firsts.into_iter().collect())
    }

    fn verdict(&self) -> Result<()> {
        if self.action == Action::MachineCheck {
            println!("ended {} {} containers", self.scenario, self.ended);
        }
        ensure!(
            self.failures.is_empty(),
            "{} rounds of {} went wrong, such as {}",
            self.failures.len(),
            self.rounds,
            self.failures[0]
        );
        Ok(())
    }
}

/// Where the event arrived that struck in front of instruction `from` of a round that would have gone as `usual`:
/// the instruction that it was in the place of, none if the round went on as usual.
fn arrival(usual: &[u64], trace: &[u64], from: usize) -> Option<usize> {
    let differs = |n: &usize| usual.get(*n) != trace.get(*n);
    (from..usual.len()).find(differs)
}

/// What the guest tells of the number of its rounds.
fn told(rounds: u64) -> u64 {
    (rounds & 0x7ff) + 1
}

/// Answers the guest at the end of its round; the number that it gave.
fn next(vcpu: &Vcpu, run: &RunPage) -> Result<u64> {
    match run.exit_reason {
        EXIT_CONSOLE_WRITE => {
            let number = run.detail.console().length;
            vcpu.answer(0, number);
            Ok(number)
        }
        EXIT_MACHINE_CHECK => Err(EndedByMachineCheck.into()),
        reason => bail!("exit {reason} ({:x?})", &run.detail.0[..6]),
    }
}

/// A guest at the end of its first round.
fn start(system: &System, scenario: &str) -> Result<Guest> {
    let guest = match scenario {
        ALIAS => alias::prepare(system, module_text()?.0)?,
        USER => user::prepare(system)?,
        _ => Guest::start(system, &format!("every_{scenario}"), |container, hpa| {
            let words = [entry_of(hpa, UNMAPPED), hpa + DATA | WRITE, 0];
            for (index, word) in words.into_iter().enumerate() {
                container.write_word(parameter(index), word);
            }
        })?,
    };
    let run = guest.vcpu.run().context("CKI_RUN")?;
    ensure!(next(&guest.vcpu, &run)? == told(1), "no first round");
    Ok(guest)
}
