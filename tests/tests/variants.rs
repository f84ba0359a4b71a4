// SPDX-License-Identifier: MIT OR Apache-2.0

//! Monitors and modules with known mistakes (`tests/variants`): each is noticed by the case that is there for it. So
//! a case that passes on the product says something. A few patches are no mistakes; something stands in there for
//! what an emulated machine does not have.
//!
//! That the cases pass without a patch is shown where they belong (`monitor.rs`, `module.rs`, `events.rs`); here it is
//! seen that the same build does so, for one of them.

// What the harness does not run as a test: what is printed is for the reader of its log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cki_tests::bare::{COUNTING, Machine, Outcome, PASSED, Parts, output};
use libtest_mimic::{Arguments, Failed, Trial};

/// On which machine.
#[derive(Clone, Copy, Debug)]
enum On {
    /// The driver's cases, or those of one of its words.
    One(&'static str),
    /// The same, with two CPUs.
    Two(&'static str),
    /// Where events strike in front of chosen instructions.
    Every,
    /// With the witness.
    Witness,
    /// Where a memory error is injected.
    MemoryError,
    /// Where instructions and flushes are counted.
    Bench,
}

/// How a mistake shows.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// The case fails, and these are among its words.
    Fails(&'static str),
    /// The host's kernel says this, and the case does not pass.
    Says(&'static str),
    /// The case does not come to an end: the machine dies, or says nothing for some seconds.
    NoEnd,
    /// The case passes, which it must not with another monitor.
    Passes,
    /// It is no mistake: the case passes, which it cannot elsewhere.
    StandsIn,
    /// The count is larger than that.
    Counts(u64),
}

/// Patch, machine, case and sign.
const VARIANTS: [(&str, On, &str, Sign); 35] = [
    (
        "extension_off_too_early",
        On::Every,
        "nmi_at_every_instruction_of_a_hypercall",
        Sign::NoEnd,
    ),
    (
        "window_in_a_return",
        On::Every,
        "second_nmi_at_every_instruction_behind_one_in_a_hypercall",
        Sign::NoEnd,
    ),
    (
        "window_in_an_operation",
        On::Every,
        "nmi_at_every_instruction_of_a_start",
        Sign::NoEnd,
    ),
    (
        "control_bits_of_the_thread",
        On::One(""),
        "a_thread_that_may_not_read_the_tsc_runs_a_container",
        Sign::Fails("vector: 104"),
    ),
    (
        "dr6_not_restored",
        On::Witness,
        "the_hosts_dr6_survives_debug_exceptions_of_a_guest",
        Sign::Fails("DR6 was"),
    ),
    (
        "ldt_not_restored",
        On::Witness,
        "the_hosts_ldt_survives_a_container",
        Sign::Fails("LDTR was"),
    ),
    (
        "class_list_read_with_the_lock",
        On::One(""),
        "a_class_list_in_the_containers_own_memory_is_read",
        Sign::NoEnd,
    ),
    (
        "start_forgets_a_kill",
        On::One(""),
        "a_kill_during_the_start_is_not_forgotten",
        Sign::Fails("it ran after a kill"),
    ),
    (
        "user_work_ignored",
        On::One(""),
        "work_on_the_way_to_user_mode_ends_a_run",
        Sign::Fails("nothing but a signal ended it"),
    ),
    (
        "live_patch_ignored",
        On::Witness,
        "a_live_patch_gets_at_a_thread_that_runs_a_container",
        Sign::Fails("was not on its way"),
    ),
    (
        "time_is_the_kernels",
        On::One(""),
        "time_in_a_container_is_guest_time",
        Sign::Fails("in the kernel"),
    ),
    (
        "machine_check_in_the_kernel",
        On::MemoryError,
        "a_memory_error_in_a_container_ends_that_alone",
        // The first words of its panic; the rest is at times lost, as the other processor may hold the console.
        Sign::Says("Machine Check Exception"),
    ),
    (
        "broken_memory_goes_back",
        On::Witness,
        "broken_memory_of_a_container_goes_to_nobody",
        Sign::Fails("still in use"),
    ),
    (
        "broken_events_word_used",
        On::Witness,
        "a_container_whose_events_word_is_broken_ends",
        Sign::Fails("Interrupted"),
    ),
    (
        "broken_page_cleared",
        On::Witness,
        "a_broken_page_of_the_monitors_is_not_touched",
        Sign::Fails("was written"),
    ),
    (
        "any_monitor",
        On::One(""),
        "the_device_reports_full_isolation",
        Sign::Passes,
    ),
    (
        "sizes_not_compared",
        On::One(""),
        "structures_may_be_longer_than_the_modules_and_not_shorter",
        Sign::Fails("E2BIG"),
    ),
    (
        "flushes_without_need",
        On::Bench,
        "hypercall_flushes",
        Sign::Counts(4),
    ),
    (
        "tsd_stands_for_vmxe",
        On::One("vmx"),
        "no_container_runs_on_a_cpu_in_vmx_operation",
        Sign::StandsIn,
    ),
    (
        "resumed_on_the_guests_tables",
        On::Every,
        "nmi_at_every_instruction_of_a_hypercall_with_an_alias",
        Sign::Fails("the guest has read the monitor's memory"),
    ),
    (
        "charged_to_nobody",
        On::One(""),
        "what_a_container_takes_beside_its_memory_is_charged_to_its_maker",
        Sign::Fails("are charged"),
    ),
    (
        "pkru_stands_for_tiles",
        On::One(""),
        "the_device_reports_full_isolation",
        Sign::Says("cki: the CPU has state that guests would not switch"),
    ),
    (
        "no_way_back_from_a_return",
        On::Every,
        "nmi_at_every_instruction_of_a_way_to_user_mode",
        Sign::Fails("the guest went on behind its look"),
    ),
    (
        "pks_not_asked",
        On::Witness,
        "a_kernel_that_uses_protection_keys_itself_is_refused",
        Sign::Fails("with PKS in use: 0x0"),
    ),
    (
        "absences_not_told",
        On::One(""),
        "a_vcpu_is_told_of_seconds_in_which_it_did_not_run",
        Sign::Fails("there were 0 absences"),
    ),
    (
        "kick_for_the_cpu_before",
        On::Two("kicked"),
        "an_event_interrupts_the_cpu_that_its_vcpu_has_come_to",
        Sign::Fails("was not delivered"),
    ),
    (
        "any_value_signals",
        On::One(""),
        "a_write_that_nobody_named_is_an_exit",
        Sign::Fails("exit false, 1"),
    ),
    (
        "counter_not_taken_back",
        On::One(""),
        "a_signal_raises_its_event",
        Sign::Fails("signal 3"),
    ),
    (
        "entry_left_in_the_queue",
        On::One(""),
        "an_eventfd_is_its_owners_again_behind_the_container",
        Sign::Says("kernel NULL pointer dereference"),
    ),
    (
        "dr7_not_cleared",
        On::One(""),
        "breakpoints_of_a_launcher_strike_around_a_container_and_not_in_it",
        Sign::Fails("vector: 1,"),
    ),
    (
        "processor_number_not_restored",
        On::Two("races"),
        "a_processors_number_is_the_hosts_around_a_container",
        Sign::Fails("this was processor 1 and is 0"),
    ),
    (
        "fpu_not_loaded",
        On::One(""),
        "registers_are_their_owners_on_both_sides_of_a_container",
        Sign::Fails("turn 0: the guest found"),
    ),
    (
        "user_gs_not_restored",
        On::One(""),
        "registers_are_their_owners_on_both_sides_of_a_container",
        Sign::Fails("gs_base: 91a091a091a,"),
    ),
    (
        "memory_not_zeroed",
        On::One(""),
        "memory_is_zero_whatever_a_container_has_left_there",
        Sign::Fails("round 1: Some(0) of"),
    ),
    (
        "classes_stay_mapped",
        On::One(""),
        "a_launcher_reaches_data_only_once_its_container_has_started",
        Sign::Fails("0x0 behind the start: Ok"),
    ),
];

/// As long as any of the cases takes, on a slow computer; what is silent for that long has no end.
const LIMIT: Duration = Duration::from_secs(300);
/// What hangs does so for that long, if the case does not need as much for a good end.
const SILENCE: Duration = Duration::from_secs(20);

/// Where the variants are, and what else a machine needs.
struct Place {
    parts: Parts,
    variants: PathBuf,
    witness: PathBuf,
}

impl Place {
    fn from_environment() -> Result<Self, String> {
        Ok(Place {
            parts: Parts::from_environment()?,
            variants: output("CKI_VARIANTS")?,
            witness: output("CKI_WITNESS")?.join("cki_witness.ko"),
        })
    }

    /// Runs `case` with monitor and module of `name`.
    fn run(&self, name: &str, on: On, case: &str, sign: Sign) -> Result<Outcome, String> {
        let directory = self.variants.join(name);
        let (module, own) = (directory.join("cki.ko"), directory.join("ksm"));
        let other = changed(&own)?;
        let monitor = match sign {
            Sign::Passes => other.1.as_path(),
            _ => own.as_path(),
        };
        let arguments = match on {
            On::One(word) | On::Two(word) => format!("cki.pool=32M {word} case={case}"),
            On::Every => format!("cki.pool=32M every loglevel=1 case={case}"),
            On::Witness => format!("cki.pool=32M witness case={case}"),
            On::MemoryError => format!("cki.pool=32M memory_error case={case}"),
            On::Bench => "cki.pool=130M bench".to_owned(),
        };
        let machine = Machine::new(&self.parts, &arguments)
            .module(&module)
            .monitor(Some(monitor))
            .limit(match sign {
                Sign::NoEnd => SILENCE,
                _ => LIMIT,
            });
        // A host that panics may not get to its reboot.
        let machine = match sign {
            Sign::Says(words) => machine.silent_after(words, SILENCE),
            _ => machine,
        };
        let machine = match on {
            On::One(_) => machine,
            On::Two(_) => machine.speed(COUNTING).cpus(2),
            On::Every | On::Bench => machine.speed(COUNTING).device("cki-probe"),
            On::Witness => machine.file("cki_witness.ko", &self.witness),
            On::MemoryError => machine
                .cpu("max,cki=on,vendor=GenuineIntel,family=6,model=54")
                .cpus(2)
                .command_at(
                    "memory error wanted at ",
                    "mce -b 1 4 0xbd80000000000134 0x7 {} 0x8c",
                ),
        };
        machine.run()
    }
}

/// A copy of a monitor with a bit changed, in a directory that lives as long.
fn changed(monitor: &Path) -> Result<(tempfile::TempDir, PathBuf), String> {
    let words = |error: std::io::Error| error.to_string();
    let directory = tempfile::tempdir().map_err(words)?;
    let path = directory.path().join("ksm");
    let mut image = fs::read(monitor).map_err(words)?;
    *image.last_mut().ok_or("the monitor is empty")? ^= 1;
    fs::write(&path, image).map_err(words)?;
    Ok((directory, path))
}

/// The value of `count NAME VALUE`.
fn count(console: &str, name: &str) -> Option<u64> {
    let line = |line: &str| {
        line.trim_end()
            .strip_prefix("count ")?
            .strip_prefix(name)?
            .trim()
            .parse()
            .ok()
    };
    console.lines().find_map(line)
}

/// Whether the case showed the sign.
fn shows(outcome: &Outcome, case: &str, sign: Sign) -> bool {
    let cases = outcome.cases();
    let result = cases.get(case);
    match sign {
        Sign::Fails(words) => matches!(result, Some(Err(text)) if text.contains(words)),
        Sign::Says(words) => outcome.console.contains(words) && !matches!(result, Some(Ok(()))),
        Sign::NoEnd => outcome.status != Some(PASSED) && !matches!(result, Some(Ok(()))),
        Sign::Passes | Sign::StandsIn => matches!(result, Some(Ok(()))),
        Sign::Counts(least) => count(&outcome.console, case).is_some_and(|count| count > least),
    }
}

fn trials(place: Place) -> Result<Vec<Trial>, String> {
    let patches: BTreeSet<String> = fs::read_dir(&place.variants)
        .map_err(|error| format!("{}: {error}", place.variants.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "whole")
        .collect();
    let place = Arc::new(place);
    let mut trials = Vec::new();
    for (name, on, case, sign) in VARIANTS {
        let place = Arc::clone(&place);
        trials.push(Trial::test(format!("{name}_is_noticed"), move || {
            let outcome = place.run(name, on, case, sign)?;
            if shows(&outcome, case, sign) {
                return Ok(());
            }
            Err(format!(
                "{sign:?} is not to be seen: status {:?}, {:?}; the console:\n{}",
                outcome.status,
                outcome.cases().get(case),
                outcome.tail()
            )
            .into())
        }));
    }
    trials.push(Trial::test("each_variant_has_its_case", move || {
        let known: BTreeSet<String> = VARIANTS
            .iter()
            .map(|(name, ..)| (*name).to_owned())
            .collect();
        if known == patches {
            return Ok(());
        }
        Err(format!("patches: {patches:?}, known: {known:?}").into())
    }));
    let whole = Arc::clone(&place);
    trials.push(Trial::test(
        "without_a_patch_the_same_build_is_whole",
        move || {
            let case = "the_device_reports_full_isolation";
            let outcome = whole.run("whole", On::One(""), case, Sign::StandsIn)?;
            match outcome.status {
                Some(PASSED) => Ok(()),
                _ => Err(Failed::from(outcome.console)),
            }
        },
    ));
    Ok(trials)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match Place::from_environment().and_then(trials) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            let failed = Trial::test("variants", move || Err(error.into()));
            libtest_mimic::run(&arguments, vec![failed]).exit_code()
        }
    }
}
