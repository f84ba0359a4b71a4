// SPDX-License-Identifier: MIT OR Apache-2.0

//! The allocator of the C library, told to have one heap.

/// Has all threads allocate from one heap; to be called before there are any. A heap of a thread's own that
/// becomes smaller has the C library read `/proc/sys/vm/overcommit_memory` (`check_may_shrink_heap`), which
/// the filter of [`crate::jail`] answers with the end of the process. One heap is smaller, too.
pub fn have_one() {
    // SAFETY: mallopt(3) takes numbers, and no other thread is in the allocator. It fails for none of ours.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}
