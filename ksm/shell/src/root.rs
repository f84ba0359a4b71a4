// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's CR3, while the vCPU is with the host.

use cki_abi::calls::arguments::ROOT_NO_FLUSH;
use cki_abi::limits::FRAME_SIZE;

use crate::cpu;

/// What to load into CR3 when the vCPU comes back: the same root and PCID, nothing flushed.
pub fn cr3_to_keep(cr3: u64) -> u64 {
    if cpu::has_pcids() {
        cr3 | ROOT_NO_FLUSH
    } else {
        // Bits 0 to 11 would be PWT, PCD and reserved, bit 63 reserved (Intel SDM Vol. 3A 4.5).
        cr3 & !ROOT_NO_FLUSH & !(FRAME_SIZE - 1)
    }
}
