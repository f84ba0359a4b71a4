// SPDX-License-Identifier: MIT OR Apache-2.0

//! What CR3 may hold (I5).

use cki_abi::calls::arguments::ROOT_NO_FLUSH;

use crate::entry::ADDRESS;
use crate::frame::Kind;
use crate::memory::PhysMem;
use crate::monitor::Monitor;
use crate::refusal::Refusal;

const PCID: u64 = 0xfff;

impl<M: PhysMem> Monitor<'_, M> {
    /// Makes `root` the root of a vCPU and returns what to load into CR3 (Intel SDM Vol. 3A 4.10.4.1).
    ///
    /// The root counts as referred to while it is loaded, so it cannot be released under the CPU.
    /// Keeping cached translations of the PCID (ROOT_NO_FLUSH) needs no check: they are the
    /// container's own, and what may be cached is bounded by flush epochs, not by CR3.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for a PCID or a bit that guests have not, [`Refusal::Range`],
    /// [`Refusal::Root`] if the frame is no declared L4, [`Refusal::Limit`].
    pub fn load_root(&mut self, vcpu: usize, root: u64) -> Result<u64, Refusal> {
        let pcid = root & PCID;
        // Bits 61 and 62 would turn on linear-address masking. Without PCIDs, bits 3 and 4 are a
        // memory type and bit 63 is reserved.
        let flags = if self.pcids == 0 { 0 } else { ROOT_NO_FLUSH };
        if root & !(ADDRESS | PCID | flags) != 0 {
            return Err(Refusal::Argument);
        }
        let hardware_pcid = self.hardware_pcid(pcid)?;
        let frame = self.segments.find(root & ADDRESS).ok_or(Refusal::Range)?;
        if self.frames.word(frame)?.kind() != Some(Kind::ROOT) {
            return Err(Refusal::Root);
        }
        let current = *self.roots.get(vcpu).ok_or(Refusal::Argument)?;
        if current != Some(frame) {
            self.reference(frame)?;
            if let Some(old) = current {
                self.dereference(old)?;
            }
            if let Some(slot) = self.roots.get_mut(vcpu) {
                *slot = Some(frame);
            }
        }
        Ok(root & (ADDRESS | flags) | hardware_pcid)
    }

    /// Hardware PCID of a guest's; 0 on a CPU without.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for one that the container has not.
    pub fn hardware_pcid(&self, pcid: u64) -> Result<u64, Refusal> {
        match self.pcids {
            0 if pcid == 0 => Ok(0),
            pcids if pcid < pcids => Ok(self.pcid_base + pcid),
            _ => Err(Refusal::Argument),
        }
    }
}
