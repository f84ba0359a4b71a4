// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module on Debian's kernel, with bare-metal guests: all cases of the driver, and those of what ours leaves out
//! of its configuration, NUMA among it.

use cki_tests::bare::{Machine, PASSED, Parts, module, output};

/// Runs the driver there, on a machine of `nodes` NUMA nodes; all of its cases pass, of which there are `at_least` so
/// many.
fn passes(nodes: u32, arguments: &str, at_least: usize) {
    let with_debians = || -> Result<Parts, String> {
        Ok(Parts {
            kernel: output("CKI_DEBIAN_KERNEL")?.join("bzImage"),
            module: module(&output("CKI_KMOD_DEBIAN")?)?,
            ..Parts::from_environment()?
        })
    };
    let parts = with_debians().unwrap_or_else(|error| panic!("{error}"));
    // The module knows four levels of page tables, the emulator's CPU has five.
    let arguments = format!("no5lvl {arguments}");
    let outcome = Machine::new(&parts, &arguments)
        .memory("512M")
        .nodes(nodes)
        .run()
        .expect("it is started");
    let cases = outcome.cases();
    let failed: Vec<_> = cases.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", outcome.tail());
    assert!(cases.len() >= at_least, "{cases:?}\n{}", outcome.tail());
    assert_eq!(outcome.status, Some(PASSED), "{}", outcome.tail());
}

#[test]
fn the_cases_of_module_and_monitor_pass_there() {
    passes(0, "cki.pool=32M", 90);
}

#[test]
fn suspension_32_bit_calls_and_local_descriptors_are_as_without_containers() {
    passes(0, "cki.pool=32M stock", 3);
}

/// The module that the tests have for monitors without a check takes none of them on a host under lockdown.
#[test]
fn under_lockdown_no_monitor_without_a_check_is_taken() {
    let with_debians = || -> Result<Parts, String> {
        Ok(Parts {
            kernel: output("CKI_DEBIAN_KERNEL")?.join("bzImage"),
            module: module(&output("CKI_KMOD_TESTS_DEBIAN")?)?,
            ..Parts::from_environment()?
        })
    };
    let parts = with_debians().unwrap_or_else(|error| panic!("{error}"));
    let mutants = output("CKI_KSM_MUTANTS").unwrap_or_else(|error| panic!("{error}"));
    let mutant = mutants.join("host_frame");
    let outcome = Machine::new(&parts, "no5lvl cki.pool=32M locked")
        .memory("512M")
        .file("mutant", &mutant)
        .run()
        .expect("it is started");
    let case = "under_lockdown_no_monitor_without_a_check_is_taken";
    assert_eq!(
        outcome.cases().get(case),
        Some(&Ok(())),
        "{}",
        outcome.tail()
    );
    let console = &outcome.console;
    assert!(
        console.contains("this monitor lacks a check"),
        "{}",
        outcome.tail()
    );
    assert!(
        console.contains("not the monitor that this module was built with"),
        "{}",
        outcome.tail()
    );
    assert_eq!(outcome.status, Some(PASSED), "{}", outcome.tail());
}

#[test]
fn memory_of_a_container_is_of_its_creators_node_first() {
    passes(2, "cki.pool=32M nodes", 1);
}
