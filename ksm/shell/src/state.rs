// SPDX-License-Identifier: MIT OR Apache-2.0

//! The container's monitor and its storage.

#[cfg(not(test))]
use cki_abi::monitor::MonitorBoot;
#[cfg(not(test))]
use cki_ksm_core::Storage;
use cki_ksm_core::{Monitor, Refusal, Setup};

#[cfg(not(test))]
use crate::lock::Lock;
use crate::memory::DirectMap;
#[cfg(not(test))]
use crate::sync::AtomicU32;

/// The rules with this container's state.
#[derive(Debug)]
// One of them at a time, in one place for good: room for the largest is what it takes.
#[allow(clippy::large_enum_variant)]
pub enum Rules {
    /// Before OP_INIT.
    None,
    /// As long as OP_INIT makes them.
    Setup(Setup<'static, DirectMap>),
    /// From then on.
    Ready(Monitor<'static, DirectMap>),
}

impl Rules {
    /// The monitor.
    ///
    /// # Errors
    ///
    /// [`Refusal::State`] before there is one.
    #[inline]
    pub fn monitor(&mut self) -> Result<&mut Monitor<'static, DirectMap>, Refusal> {
        match self {
            Rules::Ready(monitor) => Ok(monitor),
            _ => Err(Refusal::State),
        }
    }
}

#[cfg(not(test))]
static RULES: Lock<Rules> = Lock::new(AtomicU32::new(0), Rules::None);

/// Their lock.
#[cfg(not(test))]
pub fn lock() -> &'static Lock<Rules> {
    &RULES
}
#[cfg(test)]
pub use crate::testing::rules as lock;

/// Nobody gets to the rules any more.
pub fn poison() {
    lock().poison();
}

/// Looks at what the module wrote for OP_INIT.
#[cfg(not(test))]
pub fn boot<R>(look: impl FnOnce(&MonitorBoot) -> R) -> R {
    use cki_abi::layout::BOOT_INFO;

    // SAFETY: the module maps the page and writes it before it enters the monitor, and leaves it alone
    // afterwards. It is plain integers.
    look(unsafe { &*core::ptr::with_exposed_provenance(BOOT_INFO as usize) })
}
#[cfg(test)]
pub use crate::testing::{boot, storage};

/// The words for `bytes` of memory in segments.
///
/// # Errors
///
/// `E_STATE` for more memory than there are words for.
#[cfg(not(test))]
pub fn storage(bytes: u64) -> Result<Storage<'static>, u64> {
    use core::ptr::with_exposed_provenance;
    use core::sync::atomic::AtomicU64;

    use cki_abi::layout::{CHUNK_TABLE, FRAME_TABLE};
    use cki_abi::limits::{CHUNK_SIZE, FRAME_SIZE, FRAMES_MAX};

    let frames = bytes / FRAME_SIZE;
    if frames > FRAMES_MAX {
        return Err(cki_abi::errors::E_STATE);
    }
    let words = |address: u64, count: u64| {
        let first = with_exposed_provenance::<AtomicU64>(address as usize);
        // SAFETY: the module maps a word for each frame and chunk of the segments, zeroed, for as long as
        // there is a monitor. They are atomics, whoever else has them.
        unsafe { core::slice::from_raw_parts(first, count as usize) }
    };
    Ok(Storage {
        frames: words(FRAME_TABLE, frames),
        chunks: words(CHUNK_TABLE, bytes / CHUNK_SIZE),
    })
}
