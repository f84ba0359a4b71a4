// SPDX-License-Identifier: MIT OR Apache-2.0

//! A buffer for large pieces of disks, which the host's kernel finds in one page.
//!
//! The memory of a container cannot be pinned, so what goes past the host's page cache goes through memory of ours. In
//! a huge page (2 MiB) the kernel pins one page for all of it, and gives the disk one segment, where it would else look
//! at each 4 KiB.

use std::num::NonZeroUsize;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// Bytes of a huge page.
pub const HUGE: usize = 2 << 20;

/// The buffer, which takes no memory before it is used, and keeps it then. Disks share one.
#[derive(Default)]
pub struct Large(Option<&'static mut [u8]>);

impl Large {
    /// Its [`HUGE`] bytes, which begin where a huge page does; nothing where there is no memory for them.
    pub fn bytes(&mut self) -> Option<&mut [u8]> {
        if self.0.is_none() {
            self.0 = map();
        }
        self.0.as_deref_mut()
    }
}

/// Memory of the kernel's for a huge page, without which all works, too.
fn map() -> Option<&'static mut [u8]> {
    // Twice as much address space, for a window that begins where a huge page does: the rest is not touched.
    let length = NonZeroUsize::new(2 * HUGE)?;
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let start = unsafe { mmap_anonymous(None, length, rights, flags) }.ok()?;
    // SAFETY: the mapping is readable, writable and zeroed, nobody else knows of it, and it is never unmapped.
    let all = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>().as_ptr(), 2 * HUGE) };
    let from = all.as_ptr().align_offset(HUGE);
    let window = all.get_mut(from..from.checked_add(HUGE)?)?;
    let place = std::ptr::NonNull::from(&mut *window).cast();
    // SAFETY: the range is the window; the advice changes how it is mapped, not what is in it.
    let _ = unsafe { madvise(place, HUGE, MmapAdvise::MADV_HUGEPAGE) };
    Some(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_begins_at_a_huge_page_and_keeps_its_place() {
        let mut large = Large::default();
        let bytes = large.bytes().unwrap();
        assert_eq!((bytes.len(), bytes.as_ptr().align_offset(HUGE)), (HUGE, 0));
        bytes[HUGE - 1] = 7;
        let place = bytes.as_ptr();
        let again = large.bytes().unwrap();
        assert_eq!((again[HUGE - 1], again.as_ptr()), (7, place));
    }
}
