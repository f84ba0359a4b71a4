// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program runs in.

use clap::ValueEnum;

/// What the program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Runtime {
    /// A CKI container: a kernel of its own, deprivileged
    #[default]
    Cki,
    /// An ordinary process of the machine's own kernel: no isolation
    Native,
    /// As native, on a machine with the CKI extension, /dev/cki and the command `cki`, which starts
    /// containers of half of its memory
    Host,
}
