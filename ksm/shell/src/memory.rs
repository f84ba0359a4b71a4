//! The container's memory, through the monitor's direct map.

use core::sync::atomic::{AtomicU64, Ordering};

use cki_abi::layout::DIRECT_MAP;
use cki_abi::limits::FRAME_SIZE;
use cki_ksm_core::{Frame, PhysMem};

/// Frame n is at DIRECT_MAP + 4096 n.
#[derive(Clone, Copy, Debug)]
pub struct DirectMap;

fn word(frame: Frame, index: usize) -> &'static AtomicU64 {
    let address = DIRECT_MAP + frame.index() as u64 * FRAME_SIZE + (index as u64 % 512) * 8;
    // SAFETY: a Frame is below the number of delegated frames, all of which the module mapped here
    // before OP_INIT, and which stay until the container has ended. Guest and page walker access
    // the same words: hence atomics only.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

impl PhysMem for DirectMap {
    #[inline]
    fn load(&self, frame: Frame, index: usize) -> u64 {
        word(frame, index).load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, frame: Frame, index: usize, value: u64) {
        word(frame, index).store(value, Ordering::Release);
    }

    #[inline]
    fn swap(&self, frame: Frame, index: usize, value: u64) -> u64 {
        word(frame, index).swap(value, Ordering::AcqRel)
    }

    #[inline]
    fn compare_exchange(
        &self,
        frame: Frame,
        index: usize,
        expected: u64,
        value: u64,
    ) -> Result<u64, u64> {
        word(frame, index).compare_exchange(expected, value, Ordering::AcqRel, Ordering::Acquire)
    }

    #[inline]
    fn fetch_and(&self, frame: Frame, index: usize, mask: u64) -> u64 {
        word(frame, index).fetch_and(mask, Ordering::AcqRel)
    }
}

/// A word of a structure in guest memory, at a byte offset that is a multiple of 8.
pub fn info_atomic(frame: Frame, offset: usize) -> &'static AtomicU64 {
    word(frame, offset / 8)
}
