//! The container's monitor and its storage.

use core::sync::atomic::AtomicU64;

use cki_abi::errors::E_STATE;
use cki_abi::layout::{BOOT_INFO, CHUNK_TABLE, FRAME_TABLE};
use cki_abi::limits::{CHUNK_SIZE, FRAME_SIZE, FRAMES_MAX};
use cki_abi::monitor::{EXIT_MONITOR_FAULT, MonitorBoot};
use cki_ksm_core::{Monitor, Refusal, Setup, Storage};

use crate::area::Area;
use crate::fault;
use crate::lock::{Guard, Lock, Poisoned};
use crate::memory::DirectMap;

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

static RULES: Lock<Rules> = Lock::new(Rules::None);

/// The rules, when no other vCPU has them. Where one has ended the container, this one ends, too.
#[inline]
pub fn rules(area: Area) -> Guard<'static, Rules> {
    match RULES.lock() {
        Ok(guard) => guard,
        Err(Poisoned) => fault::end(area, EXIT_MONITOR_FAULT, [fault::POISONED, 0, 0, 0, 0, 0]),
    }
}

/// Nobody gets to the rules any more.
pub fn poison() {
    RULES.poison();
}

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
