// SPDX-License-Identifier: MIT OR Apache-2.0

//! The channels between QEMU and us, and what each is called.

use cki_session::port;

/// A channel between QEMU and us: the descriptor that QEMU inherits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Session protocol.
    Control,
    /// The program's standard input.
    Stdin,
    /// The program's standard output.
    Stdout,
    /// The program's standard error.
    Stderr,
    /// The kernel console (first serial port).
    Console,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Control,
        Self::Stdin,
        Self::Stdout,
        Self::Stderr,
        Self::Console,
    ];

    /// Descriptor in QEMU.
    #[must_use]
    pub const fn fd(self) -> i32 {
        match self {
            Self::Control => 3,
            Self::Stdin => 4,
            Self::Stdout => 5,
            Self::Stderr => 6,
            Self::Console => 7,
        }
    }

    /// QEMU's name for the character device, and the name of the virtio-serial port if it has one.
    pub(crate) const fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Control => ("control", Some(port::CONTROL)),
            Self::Stdin => ("stdin", Some(port::STDIN)),
            Self::Stdout => ("stdout", Some(port::STDOUT)),
            Self::Stderr => ("stderr", Some(port::STDERR)),
            Self::Console => ("console", None),
        }
    }
}
