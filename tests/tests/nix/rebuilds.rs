// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a change of the checkout rebuilds, and what it does not.

use crate::{committed, targets_of};

#[test]
fn a_change_of_the_kernels_configuration_rebuilds_the_kernel_and_what_contains_it() {
    const REBUILT: [&str; 18] = [
        "cki-docs",
        "cki-system",
        "cki-system-disk",
        "cki-guest",
        "cki-kernel",
        "cki-kmod",
        "cki-kmod-tests",
        "cki-witness",
        "cki-variants",
        "cki-runtime",
        "cki-host",
        "cki-host-disk",
        "cki-runtime-debian",
        "cki-kernel-debug",
        "cki-kmod-debug",
        "cki-witness-debug",
        "cki-host-debug",
        "cki-runtime-debug",
    ];
    const KEPT: [&str; 15] = [
        "cki-book",
        "cki-qemu",
        "cki-host-debian",
        "cki-host-xen",
        "cki-kmod-debian",
        "qemu-stock",
        "cki-isa-tests",
        "cki-ksm",
        "cki-ksm-mutants",
        "cki-monitor-driver",
        "cki-launcher",
        "cki-micro",
        "cki-workload",
        "cki-init",
        "cki-build",
    ];
    let attrs = [&REBUILT[..], &KEPT].concat();
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = committed(dir.path(), "configured");
    let before = targets_of(&checkout, &attrs);
    let fragment = checkout.dir.join("kernel/config/base.config");
    let text = std::fs::read_to_string(&fragment).expect("read");
    std::fs::write(&fragment, format!("{text}CONFIG_SYSVIPC=y\n")).expect("written");
    let after = targets_of(&checkout, &attrs);
    for attr in attrs {
        assert_eq!(
            before[attr] == after[attr],
            KEPT.contains(&attr),
            "{attr} depends on the kernel, or not: {:?}",
            after[attr]
        );
    }
}

#[test]
fn a_change_of_tests_rebuilds_nothing_but_what_runs_them() {
    const KEPT: [&str; 9] = [
        "cki-build",
        "cki-host",
        "cki-ksm",
        "cki-ksm-mutants",
        "cki-kmod",
        "cki-launcher",
        "cki-monitor-driver",
        "cki-runtime",
        "cki-variants",
    ];
    let attrs = [&KEPT[..], &["cki-init"]].concat();
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = committed(dir.path(), "tested");
    let change = |file: &str| {
        let file = checkout.dir.join(file);
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        std::fs::write(&file, text + "// More.\n").expect("written");
    };
    let before = targets_of(&checkout, &attrs);
    for file in [
        "abi/tests/consistency.rs",
        "abi/session/tests/wire.rs",
        "crates/volume/tests/served.rs",
        "ksm/core/tests/execute.rs",
        "ksm/shell/src/testing/cpu.rs",
        "ksm/shell/src/tests/events.rs",
        "launcher/tests/cli.rs",
    ] {
        change(file);
    }
    assert_eq!(before, targets_of(&checkout, &attrs));
    // Those of init run where it is built.
    let file = std::fs::read_dir(checkout.dir.join("init/tests"))
        .expect("read")
        .find_map(|entry| entry.ok()?.file_name().into_string().ok())
        .expect("a test");
    change(&format!("init/tests/{file}"));
    let after = targets_of(&checkout, &attrs);
    assert_ne!(before["cki-init"], after["cki-init"]);
    // And what is no test is still built from.
    change("ksm/core/src/iret.rs");
    let after = targets_of(&checkout, &attrs);
    for attr in ["cki-ksm", "cki-ksm-mutants", "cki-kmod"] {
        assert_ne!(before[attr], after[attr], "{attr}");
    }
    // The launcher's tests alone use the monitor's rules.
    assert_eq!(before["cki-launcher"], after["cki-launcher"]);
}
