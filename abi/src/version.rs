// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which interface this is.

constants! { "Version";
    /// Version of everything in this header. Module, monitor, launcher and guest refuse to work
    /// with a part that states another.
    ABI_VERSION = 3;
    /// First eight bytes of `struct cki_start_info`: "CKISTART" in memory order.
    START_INFO_MAGIC = u64::from_le_bytes(*b"CKISTART");
    /// First eight bytes of `struct cki_monitor_boot`: "CKIKSMBT" in memory order.
    MONITOR_BOOT_MAGIC = u64::from_le_bytes(*b"CKIKSMBT");
}
