//! The container's monitor and its storage.

use core::sync::atomic::AtomicU64;

use cki_abi::errors::E_STATE;
use cki_abi::layout::{BOOT_INFO, CHUNK_TABLE, FRAME_TABLE};
use cki_abi::limits::{CHUNK_SIZE, FRAME_SIZE, FRAMES_MAX};
use cki_abi::monitor::MonitorBoot;
use cki_ksm_core::{Monitor, Setup, Storage};

use crate::lock::Lock;
use crate::memory::DirectMap;

/// The rules with this container's state; none before OP_INIT.
pub static MONITOR: Lock<Option<Monitor<'static, DirectMap>>> = Lock::new(None);

/// The monitor as long as OP_INIT makes it.
pub static SETUP: Lock<Option<Setup<'static, DirectMap>>> = Lock::new(None);

/// What the module wrote for OP_INIT.
pub fn boot() -> &'static MonitorBoot {
    // SAFETY: the module maps the page before it enters the monitor, and leaves it alone afterwards.
    // It is plain integers.
    unsafe { &*(BOOT_INFO as *const MonitorBoot) }
}

/// The words for `bytes` of memory in segments.
///
/// # Errors
///
/// `E_STATE` for more memory than there are words for.
pub fn storage(bytes: u64) -> Result<Storage<'static>, u64> {
    let frames = bytes / FRAME_SIZE;
    if frames > FRAMES_MAX {
        return Err(E_STATE);
    }
    // SAFETY: the module maps a word for each frame and chunk of the segments, zeroed, for the life of
    // the container; they are reached through these slices only.
    unsafe {
        Ok(Storage {
            frames: core::slice::from_raw_parts(FRAME_TABLE as *const AtomicU64, frames as usize),
            chunks: core::slice::from_raw_parts(
                CHUNK_TABLE as *const AtomicU64,
                (bytes / CHUNK_SIZE) as usize,
            ),
        })
    }
}
