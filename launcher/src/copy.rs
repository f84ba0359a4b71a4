// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes into and out of a container's memory.
//!
//! The C library that we are linked with copies by a loop of vector instructions, unless the CPU says that it is quick
//! at strings of bytes (ERMS; Intel's optimization manual, 3.7.6). Linux copies pages by a string instruction for words
//! on every CPU, and so do we: one instruction for what lies together, and no vector register is touched, so none has
//! to be saved when the thread is switched.
//!
//! A guest may write to the bytes while they are copied. What is copied is then some of the old bytes and some of the
//! new ones: nothing is concluded from them before, and the compiler knows nothing of the reads and writes here.

use std::arch::asm;

use vm_memory::VolatileSlice;

/// Bytes from which on a string instruction is used: it takes some 30 cycles to begin.
const LEAST: usize = 512;

/// Copies the bytes of `from` to the beginning of `to`; how many these were: those of the shorter one.
pub fn out_of(from: &VolatileSlice<'_>, to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    if count < LEAST {
        return from.copy_to(to);
    }
    // SAFETY: the guard keeps `count` bytes readable, the slice is ours and as long, and memory of a guest, which
    // only volatile slices refer to, is no part of a slice.
    unsafe { string(from.ptr_guard().as_ptr(), to.as_mut_ptr(), count) };
    count
}

/// Copies the bytes of `from` to the beginning of `to`; how many these were: those of the shorter one.
pub fn into(from: &[u8], to: &VolatileSlice<'_>) -> usize {
    let count = from.len().min(to.len());
    let from = &from[..count];
    if count < LEAST {
        to.copy_from(from);
        return count;
    }
    // SAFETY: the guard keeps `count` bytes writable, the slice is as long, and no part of a guest's memory.
    unsafe { string(from.as_ptr(), to.ptr_guard_mut().as_ptr(), count) };
    count
}

/// Copies `count` bytes, words first.
///
/// # Safety
/// `from` is readable and `to` writable for so many bytes, and the two do not overlap.
unsafe fn string(from: *const u8, to: *mut u8, count: usize) {
    // SAFETY: by the caller, both ranges may be accessed. The direction flag is clear, as in all code of the System V
    // ABI, so that both addresses go up and end behind their ranges. Neither stack nor flags are changed.
    unsafe {
        asm!(
            "rep movsq",
            "mov rcx, {rest}",
            "rep movsb",
            rest = in(reg) count % 8,
            inout("rcx") count / 8 => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vm_memory::{GuestAddress, GuestMemoryBackend};

    use super::*;
    use crate::virtio::testing::memory;

    proptest! {
        /// Lengths on both sides of the limit, whole words or not, at any alignment.
        #[test]
        fn what_is_copied_is_there_and_nothing_beside_it(
            length in prop_oneof![0..40usize, LEAST - 9..LEAST + 9, 4090..4200usize],
            (at, start) in (0..16u64, 0..16usize),
            (longer, shorter) in (0..9usize, 0..9usize),
        ) {
            let memory = memory();
            let whole = memory.get_slice(GuestAddress(at), length + 64).unwrap();
            whole.copy_from(&vec![0xee_u8; length + 64]);
            let place = memory.get_slice(GuestAddress(at + 32), length).unwrap();
            let bytes: Vec<u8> = (0..length + 64).map(|n| n as u8 ^ 0x5a).collect();
            let source = &bytes[start..start + length + longer];
            prop_assert_eq!(into(source, &place), length);
            let mut read = vec![0xdd; start + length + longer + 16];
            prop_assert_eq!(out_of(&whole, &mut read[start..start + length + longer]), length + longer);
            prop_assert!(read[..start].iter().all(|&byte| byte == 0xdd));
            prop_assert!(read[start + length + longer..].iter().all(|&byte| byte == 0xdd));
            let mut all = vec![0; length + 64];
            prop_assert_eq!(out_of(&whole, &mut all), length + 64);
            prop_assert!(all[..32].iter().all(|&byte| byte == 0xee));
            prop_assert_eq!(&all[32..32 + length], &source[..length]);
            prop_assert!(all[32 + length..].iter().all(|&byte| byte == 0xee));
            // As many as the shorter one has.
            let few = length.saturating_sub(shorter);
            prop_assert_eq!(out_of(&place, &mut read[..few]), few);
            prop_assert_eq!(&read[..few], &source[..few]);
        }
    }
}
