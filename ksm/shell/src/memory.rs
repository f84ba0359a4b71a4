// SPDX-License-Identifier: MIT OR Apache-2.0

//! The container's memory, through the monitor's direct map.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use cki_abi::limits::FRAME_SIZE;
use cki_abi::vcpu::VcpuInfo;
use cki_ksm_core::{Frame, PhysMem};

/// Words of a `struct cki_vcpu_info`.
pub const INFO_WORDS: usize = size_of::<VcpuInfo>() / 8;

/// Where frame 0 is.
#[cfg(not(test))]
fn base() -> u64 {
    cki_abi::layout::DIRECT_MAP
}
#[cfg(test)]
use crate::testing::direct_map as base;

/// Frame n is at DIRECT_MAP + 4096 n. The right to reach them, as words that others reach, too.
#[derive(Debug)]
pub struct DirectMap(());

impl DirectMap {
    /// The direct map.
    ///
    /// # Safety
    ///
    /// As long as the value is used, every frame that a [`Frame`] can stand for is mapped there.
    pub const unsafe fn new() -> Self {
        DirectMap(())
    }

    fn words<const N: usize>(&self, frame: Frame, offset: usize) -> &[AtomicU64; N] {
        let address = base() + frame.index() as u64 * FRAME_SIZE + offset as u64;
        // SAFETY: a Frame is below the number of delegated frames, all of which the module mapped here
        // before OP_INIT, and which stay until the container has ended. Callers stay in the frame, at a
        // multiple of 8. Guest and page walker access the same words: hence atomics only.
        unsafe { &*ptr::with_exposed_provenance(address as usize) }
    }

    fn word(&self, frame: Frame, index: usize) -> &AtomicU64 {
        let [word] = self.words(frame, index % 512 * 8);
        word
    }

    /// A `struct cki_vcpu_info` that begins at a byte offset, a multiple of its size, of a frame.
    pub fn info(&self, frame: Frame, offset: usize) -> &[AtomicU64; INFO_WORDS] {
        const SIZE: usize = INFO_WORDS * 8;
        self.words(frame, offset % FRAME_SIZE as usize / SIZE * SIZE)
    }
}

impl PhysMem for DirectMap {
    #[inline]
    fn load(&self, frame: Frame, index: usize) -> u64 {
        self.word(frame, index).load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, frame: Frame, index: usize, value: u64) {
        self.word(frame, index).store(value, Ordering::Release);
    }

    #[inline]
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64 {
        self.word(frame, index).swap(value, Ordering::AcqRel)
    }

    #[inline]
    fn compare_exchange(
        &self,
        frame: Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64> {
        self.word(frame, index).compare_exchange(
            expected,
            value,
            Ordering::AcqRel,
            Ordering::Acquire,
        )
    }

    #[inline]
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64 {
        self.word(frame, index).fetch_and(mask, Ordering::AcqRel)
    }
}
