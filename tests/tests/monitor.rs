// SPDX-License-Identifier: MIT OR Apache-2.0

//! Monitor and host module, without a guest kernel: bare-metal guests of a few instructions, started
//! through /dev/cki by `tests/driver`, which is PID 1 of an emulated machine.
//!
//! One machine runs all of the driver's cases; each is a trial here. A machine for each monitor that lacks
//! a check (`tests/mutants`) shows that the attack which the check stops succeeds there. A few more show that
//! the module refuses where something is missing, and says what.
//!
//! The parts come from the environment, which `cki-build check` sets: `CKI_QEMU`, `CKI_KERNEL`,
//! `CKI_KSM`, `CKI_KSM_MUTANTS`, `CKI_KMOD`, `CKI_KMOD_TESTS` and `CKI_MONITOR_DRIVER` (outputs of those names).

// What the harness does not run as a test: what is printed is for the reader of its log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cki_tests::bare::{self, COUNTING, Machine, Outcome, PASSED, Parts, output};
use libtest_mimic::{Arguments, Failed, Trial};

/// As many cases have to have run, or the driver did not do its work.
const CASES_AT_LEAST: usize = 90;
/// As many attacks there have to be: one on each invariant at the least.
const ATTACKS_AT_LEAST: usize = 15;
/// How every attack begins.
const BEGINS: &str = " begins: ";
/// How an attack begins whose success is that the machine says nothing any more.
const SILENCER: &str = " begins: Cpu";
/// For so long after that: with all checks, the host goes on after 0.3 s.
const SILENCE: Duration = Duration::from_secs(6);
/// How often an attacker tries whose machine was reset or hangs, with nothing gained.
const TRIES: usize = 6;

/// `count NAME VALUE` by name.
fn counts(console: &str) -> BTreeMap<&str, u64> {
    console
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("count ")?.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect()
}

/// What any call may take (I9).
const LONGEST: u64 = 20_000;
/// Segments that a container's memory may have: in so many the calls are counted, too.
const SEGMENTS: u64 = 32;

/// Instructions from gate to gate, on a machine that counts them. They are the same in every run.
fn calls_are_short(parts: &Parts) -> Result<(), Failed> {
    let outcome = Machine::new(parts, "cki.pool=130M bench")
        .speed(COUNTING)
        .device("cki-probe")
        .run()?;
    let counts = counts(&outcome.console);
    let mut wrong = Vec::new();
    if counts.get("pieces") != Some(&SEGMENTS) {
        wrong.push(format!(
            "pieces: {:?}, not {SEGMENTS}",
            counts.get("pieces")
        ));
    }
    for (name, limit) in [
        ("entry_set_user_page", 200),
        ("entry_set_kernel_page", 200),
        ("hypercall_event_send", 760),
        ("text_poke_5_bytes", 450),
        ("longest_table_declare", LONGEST),
        ("longest_table_release", LONGEST),
        ("longest_entry_batch", LONGEST),
        ("longest_exec_seal", LONGEST),
        ("longest_exec_seal_of_many", LONGEST),
        ("longest_text_poke", LONGEST),
        ("longest_table_declare_in_pieces", LONGEST),
        ("longest_table_release_in_pieces", LONGEST),
        ("longest_entry_batch_in_pieces", LONGEST),
        ("longest_exec_seal_in_pieces", LONGEST),
        ("longest_exec_seal_of_many_in_pieces", LONGEST),
        ("longest_text_poke_in_pieces", LONGEST),
        ("longest_operation", LONGEST),
        ("longest_operation_in_pieces", LONGEST),
    ] {
        match counts.get(name) {
            Some(&count) if count <= limit => println!("{name}: {count} instructions"),
            count => wrong.push(format!("{name}: {count:?}, not {limit} at most")),
        }
    }
    if outcome.status == Some(PASSED) && wrong.is_empty() {
        return Ok(());
    }
    let console = &outcome.console;
    Err(format!(
        "status {:?}, {wrong:?}; the console:\n{console}",
        outcome.status
    )
    .into())
}

/// Whether the attack reached its aim in this machine.
fn succeeded(attack: &str, outcome: &Outcome) -> Result<(), String> {
    let lines = || {
        outcome.console.lines().filter_map(|line| {
            let line = line.trim_end().strip_prefix("attack ")?;
            line.strip_prefix(attack)
                .filter(|rest| rest.starts_with(' '))
        })
    };
    let end = lines().find(|rest| !rest.starts_with(" begins"));
    let silent = lines().any(|rest| rest == SILENCER);
    match end {
        Some(end) if end.starts_with(" succeeded") => Ok(()),
        None if silent && outcome.status.is_none() => Ok(()),
        _ => Err(format!(
            "the attack did not succeed:{}; status {:?}, the console:\n{}",
            end.unwrap_or(" no word of it"),
            outcome.status,
            outcome.tail()
        )),
    }
}

/// Status of a machine that was reset, as a triple fault does.
const RESET: i32 = 0;

/// Each attack where its check is missing, and that this means something.
fn mutants(parts: &Arc<Parts>, whole: &Outcome) -> Result<Vec<Trial>, String> {
    const PREFIX: &str = "attack_refused_";
    let directory = output("CKI_KSM_MUTANTS")?;
    let module = bare::module(&output("CKI_KMOD_TESTS")?)?;
    let attacks: BTreeSet<String> = whole
        .cases()
        .into_keys()
        .filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned))
        .collect();
    let images: BTreeSet<String> = fs::read_dir(&directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let mut trials = Vec::new();
    for name in &images {
        let (parts, attack) = (Arc::clone(parts), name.clone());
        let (mutant, module) = (directory.join(name), module.clone());
        trials.push(Trial::test(
            format!("attack_succeeds_without_its_check_{name}"),
            move || {
                let arguments = format!("cki.pool=32M case={PREFIX}{attack}");
                let machine = Machine::new(&parts, &arguments)
                    .module(&module)
                    .monitor(Some(&mutant))
                    // Not in the machine of all cases, which goes on behind it.
                    .silent_after(BEGINS, SILENCE);
                // An interrupt that strikes while an attacker's tables are in place resets the machine; one
                // that strikes behind a missing check may be lost with the container, and the host then waits
                // for its clock. Nothing is gained either way: the attacker tries again.
                let mut outcome = machine.run()?;
                for _ in 1..TRIES {
                    if succeeded(&attack, &outcome).is_ok()
                        || !matches!(outcome.status, Some(RESET) | None)
                    {
                        break;
                    }
                    outcome = machine.run()?;
                }
                Ok(succeeded(&attack, &outcome)?)
            },
        ));
    }
    trials.extend(foreign_monitors(parts, &directory, &images));
    let wrong: Vec<_> = attacks
        .iter()
        .filter(|attack| succeeded(attack, whole).is_ok())
        .cloned()
        .collect();
    trials.push(Trial::test(
        "no_attack_succeeds_with_all_checks",
        move || {
            if wrong.is_empty() {
                return Ok(());
            }
            Err(format!("{wrong:?} would pass for successes").into())
        },
    ));
    trials.push(Trial::test("every_attack_has_its_mutant", move || {
        if attacks == images && attacks.len() >= ATTACKS_AT_LEAST {
            return Ok(());
        }
        Err(format!("attacks: {attacks:?}, mutants: {images:?}").into())
    }));
    Ok(trials)
}

/// The module of a host takes the monitor that it was built with and no other: not one that lacks a check,
/// and not its own with a bit changed.
fn foreign_monitors(parts: &Arc<Parts>, mutants: &Path, names: &BTreeSet<String>) -> Vec<Trial> {
    let mutant = names.first().map(|name| mutants.join(name));
    let one = Arc::clone(parts);
    let refused = |parts: &Parts, monitor: &Path| -> Result<(), Failed> {
        let arguments = "cki.pool=32M case=the_device_reports";
        let machine = Machine::new(parts, arguments).monitor(Some(monitor));
        let outcome = machine.run()?;
        let said = outcome
            .console
            .contains("not the monitor that this module was built with");
        let ran = outcome.cases().values().any(Result::is_ok);
        if said && !ran {
            return Ok(());
        }
        Err(format!("it was not refused:\n{}", outcome.tail()).into())
    };
    let parts = Arc::clone(parts);
    vec![
        Trial::test("a_monitor_that_lacks_a_check_is_refused", move || {
            refused(&one, &mutant.ok_or("there are no mutants")?)
        }),
        Trial::test("a_monitor_with_a_bit_changed_is_refused", move || {
            let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
            let changed = directory.path().join("ksm");
            let mut image = fs::read(&parts.monitor).map_err(|error| error.to_string())?;
            *image.last_mut().ok_or("the monitor is empty")? ^= 1;
            fs::write(&changed, image).map_err(|error| error.to_string())?;
            refused(&parts, &changed)
        }),
    ]
}

fn trials(parts: Parts) -> Result<Vec<Trial>, String> {
    let parts = Arc::new(parts);
    let outcome = Machine::new(&parts, "cki.pool=32M").run()?;
    let mut trials = mutants(&parts, &outcome)?;
    let found = outcome.cases();
    let count = found.len();
    for (name, outcome) in found {
        trials.push(Trial::test(name, move || outcome.map_err(Failed::from)));
    }
    trials.push(Trial::test("the_machine_survives_all_cases", move || {
        if outcome.status == Some(PASSED) && count >= CASES_AT_LEAST {
            return Ok(());
        }
        Err(format!(
            "status {:?}, {count} cases; the console:\n{}",
            outcome.status,
            outcome.tail()
        )
        .into())
    }));
    for (name, cpu, monitor, arguments, message) in [
        (
            "without_the_extension_no_containers",
            "max,cki=off",
            true,
            "cki.pool=32M",
            "the CPU has no CKI extension",
        ),
        (
            "without_pks_no_containers",
            "max,pks=off",
            true,
            "cki.pool=32M",
            "the CPU has no protection keys for supervisor pages",
        ),
        (
            "without_a_monitor_no_containers",
            "max,cki=on",
            false,
            "cki.pool=32M",
            "there is no monitor",
        ),
        (
            "without_a_pool_no_containers",
            "max,cki=on",
            true,
            "",
            "there is no memory pool",
        ),
        (
            "on_a_cpu_with_meltdown_no_containers",
            "max,cki=on,vendor=GenuineIntel,family=6,model=143",
            true,
            "cki.pool=32M",
            "the CPU has L1TF or Meltdown",
        ),
        (
            "with_an_unstable_clock_no_containers",
            "max,cki=on",
            true,
            // Without a frequency there is nothing that could be unstable.
            "cki.pool=32M tsc_early_khz=2600000 tsc=unstable",
            "the CPU lacks something, or has what it must not",
        ),
    ] {
        let arguments = format!("{arguments} case=the_device_reports");
        let outcome = Machine::new(&parts, &arguments)
            .cpu(cpu)
            .monitor(monitor.then_some(parts.monitor.as_path()))
            .run()?;
        trials.push(Trial::test(name, move || {
            let refused = outcome
                .console
                .contains(&format!("cki: no containers: {message}"));
            let said = outcome
                .console
                .contains("cki: the kernel found the TSC unstable");
            let refused = refused && said == (name == "with_an_unstable_clock_no_containers");
            // That CPU has it, too.
            let said = outcome.console.contains("cki: the CPU has iTLB multihit");
            let refused = refused && said == (name == "on_a_cpu_with_meltdown_no_containers");
            let failed = outcome
                .cases()
                .get("the_device_reports_full_isolation")
                .is_some_and(Result::is_err);
            if refused && failed {
                return Ok(());
            }
            Err(format!("the module did not say \"{message}\":\n{}", outcome.console).into())
        }));
    }
    for (name, arguments, passes, message) in [
        (
            "a_pool_that_is_no_size_is_refused",
            "cki.pool=32Q",
            false,
            "cki: pool=32Q is not a size such as 512M",
        ),
        (
            "a_pool_larger_than_the_machine_leaves_the_host_enough",
            "cki.pool=1T",
            true,
            "cki: pool=1048576M: only ",
        ),
    ] {
        let arguments = format!("{arguments} case=the_device_reports");
        let outcome = Machine::new(&parts, &arguments).run()?;
        trials.push(Trial::test(name, move || {
            if outcome.console.contains(message) && passes == (outcome.status == Some(PASSED)) {
                return Ok(());
            }
            let Outcome {
                status, console, ..
            } = &outcome;
            Err(format!("status {status:?}, \"{message}\" wanted:\n{console}").into())
        }));
    }
    trials.push(Trial::test("calls_are_short", move || {
        calls_are_short(&parts)
    }));
    Ok(trials)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match Parts::from_environment().and_then(trials) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            let failed = Trial::test("monitor_and_module", move || Err(error.into()));
            libtest_mimic::run(&arguments, vec![failed]).exit_code()
        }
    }
}
