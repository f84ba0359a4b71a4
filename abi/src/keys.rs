// SPDX-License-Identifier: MIT OR Apache-2.0

//! Supervisor protection keys and the PKRS values made of them.
//!
//! IA32_PKRS holds two bits a key (Intel SDM Vol. 3A 4.6.2): bit 2k disables access, bit 2k+1
//! disables writes. Keys guard data accesses only, never instruction fetches, which is why the
//! monitor's code can be entered by a jump and its gates check after every WRPKRS (I7).

constants! { "Protection keys";
    /// Key of everything the guest may reach. The only key a guest supervisor entry may carry.
    PKEY_GUEST = 0;
    /// Key of the monitor's own pages: no access for the guest.
    PKEY_MONITOR = 1;
    /// Key of IDT, GDT and TSS: the guest (and the CPU for it) reads, only the monitor writes.
    PKEY_TABLES = 2;
    /// PKRS while the guest runs; it is 0 while the monitor does: key 0 free, key 2 read-only, all others no access.
    PKRS_GUEST = 0xffff_ffec;
}
