// SPDX-License-Identifier: MIT OR Apache-2.0

//! From a call's number and registers to a rule, and back.

use cki_abi::calls::arguments::{FLUSH_ALL, FLUSH_EVERYWHERE, FLUSH_PCID};
use cki_abi::calls::*;
use cki_abi::handlers::{HANDLER_END, HANDLER_EVENT_USER};
use cki_abi::limits::{FRAME_SIZE, RETURNS_MAX};
use cki_abi::version::ABI_VERSION;

use crate::descriptor;
use crate::event::{self, ReturnWindow, entry_address};
use crate::frame::{Class, Frame, Kind};
use crate::memory::{PhysMem, Scratch};
use crate::monitor::Monitor;
use crate::refusal::Refusal;

/// What the shell has left to do for an accepted call. All but `Done` concern the calling vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing; the second result.
    Done(u64),
    /// Nothing but to count a frame that has become a table.
    Declared,
    /// Nothing but to count one that has ceased to be a table.
    Released,
    /// Load CR3 with this value.
    LoadRoot(u64),
    /// Flush one hardware PCID, non-global.
    FlushPcid(u64),
    /// Flush everything, between [`Monitor::begin_flush`] and [`Monitor::finish_flush`].
    FlushAll,
    /// As `FlushAll`, on all vCPUs that run, before the call returns.
    FlushEverywhere,
    /// Store a gate in the IDT.
    SetGate {
        /// Vector, below 256.
        vector: usize,
        /// Both quadwords.
        gate: [u64; 2],
    },
    /// Remember the address of a pseudo-handler (0: none).
    SetHandler {
        /// `HANDLER_*`.
        index: u64,
        /// Checked address.
        address: u64,
    },
    /// Store RSP0 in the TSS.
    SetStack(u64),
    /// Store a descriptor in the GDT.
    SetDescriptor {
        /// Slot, below [`descriptor::GDT_SLOTS`].
        slot: usize,
        /// The descriptor.
        descriptor: u64,
    },
    /// Remember where the vCPU's `struct cki_vcpu_info` is.
    SetVcpuInfo {
        /// A Data frame.
        frame: Frame,
        /// Byte offset in it; the structure ends in the same frame.
        offset: usize,
    },
    /// Remember where the guest's entry code is.
    SetEntryCode {
        /// First address.
        start: u64,
        /// First address behind it.
        end: u64,
    },
    /// Remember a return to user mode in it.
    SetReturn {
        /// Below [`RETURNS_MAX`].
        index: usize,
        /// The return.
        window: ReturnWindow,
    },
}

/// A refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why; goes to rax.
    pub why: Refusal,
    /// The second result; goes to rdx. Not 0 for partly done batches and seals, and for the value
    /// that a compare-exchange found.
    pub value: u64,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Refused { why, value: 0 }
    }
}

impl<M: PhysMem> Monitor<'_, M> {
    /// Carries out KSM call `number` of a vCPU with the arguments of rdi, rsi, r8 and r9.
    ///
    /// # Errors
    ///
    /// The rule broken, as `cki_abi::calls` lists for each call.
    pub fn call(
        &mut self,
        vcpu: usize,
        number: u64,
        arguments: [u64; 4],
        scratch: &mut Scratch,
    ) -> Result<Action, Refused> {
        let [a, b, c, d] = arguments;
        let action = match number {
            KSM_VERSION => Action::Done(ABI_VERSION),
            KSM_TABLE_DECLARE => {
                let kind = Kind::from_abi(b).ok_or(Refusal::Argument)?;
                self.declare(a, kind)?;
                Action::Declared
            }
            KSM_TABLE_RELEASE => {
                self.release(a)?;
                Action::Released
            }
            KSM_ENTRY_SET => {
                self.set_entry(a, b)?;
                Action::Done(0)
            }
            KSM_ENTRY_EXCHANGE => Action::Done(self.exchange_entry(a, b)?),
            KSM_ENTRY_COMPARE_EXCHANGE => Action::Done(
                self.compare_exchange_entry(a, b, c)
                    .map_err(|(why, value)| Refused { why, value })?,
            ),
            KSM_ENTRY_CLEAR => Action::Done(self.clear_entry_bits(a, b)?),
            KSM_ENTRY_BATCH => partly(self.batch(a, b, scratch))?,
            KSM_ROOT_LOAD => Action::LoadRoot(self.load_root(vcpu, a)?),
            KSM_FLUSH => match a {
                FLUSH_PCID => Action::FlushPcid(self.hardware_pcid(b)?),
                FLUSH_ALL => Action::FlushAll,
                FLUSH_EVERYWHERE => Action::FlushEverywhere,
                _ => return Err(Refusal::Argument.into()),
            },
            KSM_TEXT_POKE => {
                self.poke(a, b, c, scratch)?;
                Action::Done(0)
            }
            KSM_EXEC_SEAL => partly(self.seal(a, b))?,
            KSM_HANDLER_SET => set_handler(a, b)?,
            KSM_STACK_SET => Action::SetStack(descriptor::stack(a)?),
            KSM_TLS_SET => {
                let (slot, descriptor) = descriptor::tls(a, b)?;
                Action::SetDescriptor { slot, descriptor }
            }
            KSM_VCPU_INFO_SET => self.vcpu_info(a)?,
            KSM_ENTRY_CODE_SET => {
                let (start, end) = event::entry_range(a, b)?;
                Action::SetEntryCode { start, end }
            }
            KSM_RETURN_SET if a < RETURNS_MAX => Action::SetReturn {
                index: a as usize,
                window: ReturnWindow::new(b, c, d)?,
            },
            KSM_RETURN_SET => return Err(Refusal::Argument.into()),
            _ => return Err(Refusal::Call.into()),
        };
        Ok(action)
    }

    fn vcpu_info(&self, hpa: u64) -> Result<Action, Refusal> {
        if hpa % size_of::<cki_abi::vcpu::VcpuInfo>() as u64 != 0 {
            return Err(Refusal::Argument);
        }
        let frame = self.segments.find(hpa).ok_or(Refusal::Range)?;
        if self.frames.word(frame)?.class() != Some(Class::Data) {
            return Err(Refusal::Class);
        }
        Ok(Action::SetVcpuInfo {
            frame,
            offset: (hpa % FRAME_SIZE) as usize,
        })
    }
}

fn partly((value, outcome): (u64, Result<(), Refusal>)) -> Result<Action, Refused> {
    outcome
        .map(|()| Action::Done(value))
        .map_err(|why| Refused { why, value })
}

fn set_handler(index: u64, address: u64) -> Result<Action, Refusal> {
    match index {
        0..=255 => {
            let gate = descriptor::guest_gate(index, address)?;
            Ok(Action::SetGate {
                vector: index as usize,
                gate,
            })
        }
        HANDLER_EVENT_USER..HANDLER_END => {
            let address = if address == 0 {
                0
            } else {
                entry_address(address)?
            };
            Ok(Action::SetHandler { index, address })
        }
        _ => Err(Refusal::Argument),
    }
}
