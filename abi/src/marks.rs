// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where our emulator's device `cki-events` is to count up to.

constants! { "Marks of the device cki-events";
    /// Displacement of mark 0: a NOP with a 32-bit displacement of this plus n, 0 to 255, is the mark n.
    MARK = 0x434b_4900;
}
