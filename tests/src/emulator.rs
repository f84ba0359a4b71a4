// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulator, as the tests call it that are about other machines than `cki-build`'s.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A processor with the extension.
pub const CPU: &str = "max,cki=on";

/// Its exit status when what runs on it writes 0x10 to the exit port: all has passed.
pub const PASSED: i32 = 33;

/// The emulator of an output.
#[must_use]
pub fn program(output: &Path) -> PathBuf {
    output.join("bin/qemu-system-x86_64")
}

/// What is said to it for each machine: its firmware, no devices but those that are named, no window, and that a
/// restart is the end.
pub fn plain<'c>(command: &'c mut Command, output: &Path) -> &'c mut Command {
    command.arg("-L").arg(output.join("share/qemu")).args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ])
}
