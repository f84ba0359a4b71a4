// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which kernels a machine may have.

use clap::ValueEnum;

/// The kernel of the machine. That of a container is always ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum HostKernel {
    /// Ours, small and quick to start
    #[default]
    Cki,
    /// Debian's own, unmodified, with our module
    Debian,
    /// One that looks for mistakes of the module: slow, for tests
    Debug,
    /// Debian's own, as the first guest of Debian's Xen, for native programs
    Xen,
}

impl HostKernel {
    /// The outputs of the flake that a machine with it is made of: host image, runtime disk.
    #[must_use]
    pub const fn attrs(self) -> (&'static str, &'static str) {
        match self {
            Self::Cki => ("cki-host", "cki-runtime"),
            Self::Debian => ("cki-host-debian", "cki-runtime-debian"),
            Self::Debug => ("cki-host-debug", "cki-runtime-debug"),
            Self::Xen => ("cki-host-xen", "cki-runtime-debian"),
        }
    }
}
