// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's `struct cki_vcpu_info`, in its own memory.
//!
//! The guest, on this and other vCPUs, and the host write it as they like at any time: single words, read
//! and written atomically, each looked at once.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use cki_abi::vcpu::{InterruptedState, ReturnState, VcpuInfo};
use cki_ksm_core::Frame;

use crate::memory::{DirectMap, INFO_WORDS};
use crate::trap::TrapFrame;

/// Bits of the guest's interrupt flag in the word that begins with it.
const FLAG: u64 = 0xff;

/// It, of one vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Info<'v>(&'v [AtomicU64; INFO_WORDS]);

/// Where the monitor puts an interrupted state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `vcpu_info.event`.
    Event,
    /// `vcpu_info.debug`.
    Debug,
}

impl<'v> Info<'v> {
    /// The one at byte `offset` of a frame.
    pub fn new(memory: &'v DirectMap, frame: Frame, offset: usize) -> Self {
        Info(memory.info(frame, offset))
    }

    fn word(self, offset: usize) -> &'v AtomicU64 {
        &self.0[offset / 8]
    }

    /// Whether events are pending.
    pub fn has_events(self) -> bool {
        self.word(offset_of!(VcpuInfo, events))
            .load(Ordering::Acquire)
            != 0
    }

    /// The guest's interrupt flag.
    pub fn flag(self) -> bool {
        self.word(offset_of!(VcpuInfo, interrupt_flag))
            .load(Ordering::Acquire)
            & FLAG
            != 0
    }

    /// Clears the guest's interrupt flag.
    pub fn clear_flag(self) {
        self.word(offset_of!(VcpuInfo, interrupt_flag))
            .fetch_and(!FLAG, Ordering::Release);
    }

    /// What the guest asks GATE_IRET for. Each word is read once.
    pub fn requested(self) -> ReturnState {
        let read = |field: usize| {
            self.word(offset_of!(VcpuInfo, iret) + field)
                .load(Ordering::Relaxed)
        };
        ReturnState {
            rip: read(offset_of!(ReturnState, rip)),
            cs: read(offset_of!(ReturnState, cs)),
            rflags: read(offset_of!(ReturnState, rflags)),
            rsp: read(offset_of!(ReturnState, rsp)),
            ss: read(offset_of!(ReturnState, ss)),
            rax: read(offset_of!(ReturnState, rax)),
            rcx: read(offset_of!(ReturnState, rcx)),
            rdx: read(offset_of!(ReturnState, rdx)),
        }
    }

    /// Leaves an interrupted state for a handler of the guest's.
    pub fn put_state(self, place: Place, trap: &TrapFrame, dr6: u64) {
        let place = match place {
            Place::Event => offset_of!(VcpuInfo, event),
            Place::Debug => offset_of!(VcpuInfo, debug),
        };
        for (offset, value) in [
            (offset_of!(InterruptedState, rip), trap.rip),
            (offset_of!(InterruptedState, cs), trap.cs_and_pkrs & 0xffff),
            (offset_of!(InterruptedState, rflags), trap.rflags),
            (offset_of!(InterruptedState, rsp), trap.rsp),
            (offset_of!(InterruptedState, ss), trap.ss),
            (offset_of!(InterruptedState, dr6), dr6),
        ] {
            self.word(place + offset).store(value, Ordering::Relaxed);
        }
    }
}
