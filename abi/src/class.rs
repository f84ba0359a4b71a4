// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a frame may be used for, for as long as it is delegated. 0 is no class.

constants! { "Frame classes";
    /// Ordinary memory: the guest reads and writes it. Never executable at CPL 0, never a table.
    CLASS_DATA = 1;
    /// Page tables: the guest maps it read-only; the monitor writes it.
    CLASS_PT = 2;
    /// Guest kernel text: mapped read-only, executable at CPL 0 once sealed. Written by the
    /// host before the start and by KSM_TEXT_POKE.
    CLASS_EXEC = 3;
    /// Read-only data: never written after the start, never executable at CPL 0.
    CLASS_RO = 4;
}
