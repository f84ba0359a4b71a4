// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the main thread of a supervisor waits for.

use std::process::ExitStatus;

use cki_session::Event;

/// What the main thread is told.
pub(super) enum News {
    /// Whoever has started us has gone.
    StarterGone,
    /// The emulator has ended.
    Ended(ExitStatus),
    /// QEMU has taken a disk out, or the port of a volume.
    Unplugged(String),
    /// The machine's init says something.
    Machine(Event),
    /// The machine is to end; programs have so much time, in milliseconds.
    Stop(u32),
}
