// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module on a kernel that looks for its mistakes (`kernel/config/debug.config`): locks taken in the wrong
//! order or context, memory used after it was freed or beyond its end, undefined arithmetic, leaks. Whatever is
//! run there, the kernel must have nothing to say.

use std::path::Path;

use cki_tests::bare::{COUNTING, FAST, Machine, Outcome, PASSED, Parts, module, output};
use cki_tests::reports::reports;
use cki_tests::run_on;

/// Runs the driver on that kernel.
fn drive(cpus: u32, arguments: &str) -> Outcome {
    drive_at(FAST, cpus, arguments)
}

/// The same, on a machine of that speed.
fn drive_at(speed: &[&str], cpus: u32, arguments: &str) -> Outcome {
    drive_with(&[], speed, cpus, arguments)
}

/// The same, with more files beside the driver.
fn drive_with(files: &[(&str, &Path)], speed: &[&str], cpus: u32, arguments: &str) -> Outcome {
    let with_all_checks = || -> Result<Parts, String> {
        Ok(Parts {
            kernel: output("CKI_KERNEL_DEBUG")?.join("vmlinux"),
            module: module(&output("CKI_KMOD_DEBUG")?)?,
            ..Parts::from_environment()?
        })
    };
    let parts = with_all_checks().unwrap_or_else(|error| panic!("{error}"));
    // It is slow: a processor that looks hung after 20 s is only slow. The kernel's code is preempted anywhere.
    let arguments = format!("watchdog_thresh=60 preempt=full {arguments}");
    let mut machine = Machine::new(&parts, &arguments)
        .cpus(cpus)
        .speed(speed)
        .memory("768M");
    for (name, path) in files {
        machine = machine.file(name, path);
    }
    let outcome = machine.run().expect("it is started");
    let reports = reports(&outcome.console);
    assert!(reports.is_empty(), "{reports:#?}\n{}", outcome.console);
    outcome
}

/// All cases of the driver have passed, of which there are `at_least` so many.
fn passed(outcome: &Outcome, at_least: usize) {
    let cases = outcome.cases();
    let failed: Vec<_> = cases.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", outcome.tail());
    assert!(cases.len() >= at_least, "only {cases:?}");
    assert_eq!(outcome.status, Some(PASSED), "{}", outcome.tail());
}

#[test]
fn the_cases_of_module_and_monitor_leave_no_report() {
    passed(&drive(1, "cki.pool=32M"), 90);
}

#[test]
fn calls_that_race_leave_no_report() {
    let outcome = drive(2, "cki.pool=64M races seconds=10 raises=2000");
    passed(&outcome, 3);
}

/// Its code is preempted anywhere: nothing else has a thread in CKI_RUN give the processor away. Time is that of
/// instructions, so that no other work of the computer's makes a wake-up late.
#[test]
fn who_is_woken_beside_a_container_gets_the_processor() {
    passed(&drive_at(COUNTING, 1, "cki.pool=32M woken"), 1);
}

#[test]
fn allocations_that_fail_are_told_and_leave_nothing_behind() {
    passed(&drive(1, "cki.pool=32M faults"), 6);
}

#[test]
fn the_bridges_follow_memory_that_is_plugged_in() {
    let witness = output("CKI_WITNESS_DEBUG").unwrap_or_else(|error| panic!("{error}"));
    let witness = witness.join("cki_witness.ko");
    let files = [("cki_witness.ko", witness.as_path())];
    passed(&drive_with(&files, FAST, 1, "cki.pool=32M plugged"), 1);
}

#[test]
fn memory_of_the_pools_is_not_taken_offline() {
    let outcome = drive(1, "cki.pool=384M unplugged");
    passed(&outcome, 1);
    // It was the module that said no, and not who moves the rest of a block's pages.
    let said = outcome.console.matches("has to stay: the pool has").count();
    assert_eq!(said, 2, "{}", outcome.tail());
}

#[test]
fn ten_containers_leave_no_report() {
    let script = "
        start() {
            cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda \\
                --memory 96M --cmdline mitigations=off -- sh -c \"seq 1 2000 | sort -rn | cksum; exit $1\" > out-$1
            [ $? = $1 ] && cat out-$1
        }
        for n in 1 3 5 7 9; do start $n & other=$!; start $((n + 1)); wait $other; done
        dmesg | tee /dev/stderr | grep -c 'isolation: full (cki)'";
    let options = ["--host-kernel", "debug", "--memory", "1536M"];
    let output = run_on("host", &options, &["sh", "-c", script], b"");
    let log = output.stderr.as_str();
    assert_eq!(output.status, 0, "{log}");
    assert!(reports(log).is_empty(), "{:#?}\n{log}", reports(log));
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(lines.len(), 11, "{lines:#?}\n{log}");
    assert!(
        lines[..10].iter().all(|line| *line == lines[0]),
        "{lines:#?}"
    );
    assert_eq!(lines[10], "1", "{log}");
}
