// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who has flushed since when (I4).
//!
//! A vCPU may use a paging-structure entry that it cached until it flushes (Intel SDM Vol. 3A
//! 4.10.3). A frame that was a page table can therefore be walked as one for a while after nothing
//! refers to it any more. If it became a table of another kind in the meantime, its entries
//! would be read at a level that they were not judged for: links as leaves that map page tables
//! writable. So its release is stamped with the current epoch, and it may change its kind only
//! when every vCPU has begun, and finished, a full flush in a later epoch.
//!
//! Only flushes of *all* PCIDs count. A CR3 load flushes one PCID, INVLPG one address (and the
//! paging-structure caches of one PCID).

use cki_abi::limits::VCPUS_MAX;

use crate::frame::EPOCH_MAX;
use crate::memory::PhysMem;
use crate::monitor::Monitor;
use crate::refusal::Refusal;

/// Proof that a flush was announced before it was carried out.
#[derive(Debug)]
#[must_use = "the flush counts once it is finished"]
pub struct Flush(u64);

/// The clock and the vCPUs' last full flushes.
#[derive(Debug)]
pub struct Epochs {
    now: u64,
    flushed: [u64; VCPUS_MAX as usize],
    vcpus: usize,
}

/// A vCPU that does not run and has nothing cached.
const IDLE: u64 = u64::MAX;

impl Epochs {
    pub(crate) const fn new(vcpus: usize) -> Self {
        Epochs {
            now: 0,
            flushed: [IDLE; VCPUS_MAX as usize],
            vcpus,
        }
    }

    /// The current epoch: the stamp of a release.
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn begin(&mut self) -> Flush {
        // At the maximum the clock stands still: nothing counts as flushed any more, and changes
        // of kind are refused for ever. It takes 2^48 flushes.
        if self.now < EPOCH_MAX {
            self.now += 1;
        }
        Flush(self.now)
    }

    pub(crate) fn finish(&mut self, vcpu: usize, flush: Flush) -> Result<(), Refusal> {
        let flushed = self.flushed.get_mut(vcpu).ok_or(Refusal::Argument)?;
        if vcpu >= self.vcpus {
            return Err(Refusal::Argument);
        }
        if *flushed == IDLE || *flushed < flush.0 {
            *flushed = flush.0;
        }
        Ok(())
    }

    pub(crate) fn set_idle(&mut self, vcpu: usize) -> Result<(), Refusal> {
        if vcpu >= self.vcpus {
            return Err(Refusal::Argument);
        }
        *self.flushed.get_mut(vcpu).ok_or(Refusal::Argument)? = IDLE;
        Ok(())
    }

    /// Whether every vCPU has begun and finished a full flush after the stamp was taken.
    pub(crate) fn all_flushed_since(&self, stamp: u64) -> bool {
        self.flushed
            .iter()
            .take(self.vcpus)
            .all(|&flushed| flushed > stamp)
    }
}

impl<M: PhysMem> Monitor<'_, M> {
    /// To be called before a CPU starts to flush everything. Not under way on several vCPUs of one
    /// call: each takes its own.
    pub fn begin_flush(&mut self) -> Flush {
        self.epochs.begin()
    }

    /// To be called on the same vCPU after the CPU has flushed everything, all PCIDs.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for a vCPU that there is not.
    pub fn finish_flush(&mut self, vcpu: usize, flush: Flush) -> Result<(), Refusal> {
        self.epochs.finish(vcpu, flush)
    }

    /// A vCPU is about to run on a CPU that has nothing of this container cached.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for a vCPU that there is not.
    pub fn start_vcpu(&mut self, vcpu: usize) -> Result<(), Refusal> {
        let flush = self.epochs.begin();
        self.epochs.finish(vcpu, flush)
    }

    /// A vCPU has stopped for good (until [`Monitor::start_vcpu`]), and its CPU has flushed
    /// everything: it holds up nobody, and its root is free.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] for a vCPU that there is not.
    pub fn stop_vcpu(&mut self, vcpu: usize) -> Result<(), Refusal> {
        self.epochs.set_idle(vcpu)?;
        if let Some(root) = self.roots.get_mut(vcpu).ok_or(Refusal::Argument)?.take() {
            self.dereference(root)?;
        }
        Ok(())
    }
}
