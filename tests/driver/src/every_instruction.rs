// SPDX-License-Identifier: MIT OR Apache-2.0

//! An event in front of every instruction between the host and a container, one at a time, and a second one
//! on the way of the first. Each round has to go on as if nothing had happened, and the host has to get each
//! event once.
//!
//! A guest of every.s does the same thing round by round. What a round consists of is recorded first; then
//! the event strikes in front of its first instruction, in the next round in front of its second, and so on. The
//! lines `hit EVENT SCENARIO ADDRESS...` tell the test where it struck, `module ADDRESS` where the module's part
//! is.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use cki_abi::faults::FAULT_GATE_MISUSED;
use cki_abi::layout::{IMAGE_BASE, START_INFO};

use crate::case::wrpkrs_of_the_gates;
use crate::guest::{BASE, End};
use crate::hits::{ALIAS, IMAGE_SIZE, TEXT_SIZE, USER, module_text};
use crate::lives::Life;
use crate::probe::{Action, Probe};
use crate::sweep::Sweep;
use crate::user;

/// What a guest does in a round.
const SCENARIOS: [&str; 5] = ["hypercall", "call", "event", "iret", USER];
/// No value of PKRS that a gate sets.
const THIRD_PKRS: u64 = 4;

/// All of them; what failed is printed.
pub fn run() -> Result<()> {
    let all = std::env::var("pairs").is_ok_and(|word| word == "all");
    let probe = Probe::open()?;
    let module = module_text()?;
    println!("module {:x}", module.0);
    probe.arm(&[
        module,
        (IMAGE_BASE, IMAGE_BASE + IMAGE_SIZE),
        (BASE, BASE + TEXT_SIZE),
        (user::TEXT, user::TEXT + 0x1000),
    ]);
    let filter = std::env::var("case").ok();
    let wanted = |name: &str| {
        filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    };
    let mut failed = 0;
    let mut case = |name: String, work: &mut dyn FnMut() -> Result<()>| {
        if !wanted(&name) {
            return;
        }
        let start = Instant::now();
        match work() {
            Ok(()) => println!("case {name} ok"),
            Err(error) => {
                failed += 1;
                println!("case {name} FAILED: {error:#}");
            }
        }
        println!("time {name} {} ms", start.elapsed().as_millis());
    };
    let sweep = |scenario, action, second| Sweep::new(&probe, scenario, action, second);
    for scenario in SCENARIOS {
        case(
            format!("nmi_at_every_instruction_of_a_{scenario}"),
            &mut || sweep(scenario, Action::Nmi, Action::Nmi)?.singles(),
        );
        case(
            format!("machine_check_at_every_instruction_of_a_{scenario}"),
            &mut || sweep(scenario, Action::MachineCheck, Action::MachineCheck)?.singles(),
        );
        case(
            format!("second_nmi_at_every_instruction_behind_one_in_a_{scenario}"),
            &mut || sweep(scenario, Action::Nmi, Action::Nmi)?.pairs(all),
        );
    }
    case(
        "machine_check_at_every_instruction_behind_an_nmi_in_a_hypercall".to_owned(),
        &mut || sweep("hypercall", Action::Nmi, Action::MachineCheck)?.pairs(all),
    );
    case(
        "nmi_at_every_instruction_behind_a_machine_check_in_a_hypercall".to_owned(),
        &mut || sweep("hypercall", Action::MachineCheck, Action::Nmi)?.pairs(all),
    );
    case(
        format!("nmi_at_every_instruction_of_a_{ALIAS}"),
        &mut || sweep(ALIAS, Action::Nmi, Action::Nmi)?.singles(),
    );
    let (start, misuse) = lives()?;
    let known = start.record(&probe)?;
    for (word, action) in [
        ("nmi", Action::Nmi),
        ("machine_check", Action::MachineCheck),
    ] {
        case(
            format!("{word}_at_every_instruction_of_a_start"),
            &mut || start.lives(&probe, action, &BTreeMap::new(), all),
        );
        case(
            format!("{word}_at_every_instruction_of_a_misused_gate"),
            &mut || misuse.lives(&probe, action, &known, all),
        );
    }
    case("second_nmi_behind_one_in_a_start".to_owned(), &mut || {
        start.pairs(&probe, all)
    });
    ensure!(failed == 0, "{failed} failed");
    Ok(())
}

/// From CKI_START to an orderly end, and to one by a jump to a WRPKRS of a gate.
fn lives() -> Result<(Life, Life)> {
    let start = Life {
        name: "start",
        guest: "shutdown",
        words: vec![START_INFO],
        end: |end| *end == End::Code(42),
    };
    let misuse = Life {
        name: "misused_gate",
        guest: "jump_to",
        words: vec![wrpkrs_of_the_gates()?[0], THIRD_PKRS],
        end: |end| {
            matches!(
                end,
                End::GuestFault {
                    vector: FAULT_GATE_MISUSED,
                    ..
                }
            )
        },
    };
    Ok((start, misuse))
}
