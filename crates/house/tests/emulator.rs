// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stock QEMU, which the tests compare with, has the devices that our emulator has, but for those that are ours.

use std::fs;

use cki_house::root;

/// The symbols that a list sets, without ours.
fn symbols(list: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("emulator/devices").join(list)).expect("a list");
    let lines = text.lines().filter(|line| line.starts_with("CONFIG_"));
    lines
        .filter(|line| !line.starts_with("CONFIG_CKI_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn stock_qemu_has_our_devices() {
    let ours = symbols("cki.mak");
    assert!(ours.len() > 5, "{ours:?}");
    assert_eq!(symbols("stock/cki.mak"), ours);
}
