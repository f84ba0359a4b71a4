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

/// A vCPU that has not started: it has nothing cached, and holds up no change of kind.
const IDLE: u64 = u64::MAX;

impl Epochs {
    /// For so many vCPUs, none of which has run: all are idle.
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

    /// Announces a full flush, which counts for releases until now.
    pub(crate) fn begin(&mut self) -> Flush {
        // At the maximum the clock stands still: nothing counts as flushed any more, and changes
        // of kind are refused for ever. It takes 2^48 flushes.
        if self.now < EPOCH_MAX {
            self.now += 1;
        }
        Flush(self.now)
    }

    /// `vcpu` has carried out a flush that was announced.
    ///
    /// # Errors
    ///
    /// [`Refusal::Argument`] if there is no such vCPU.
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

    /// Whether every vCPU has begun and finished a full flush after the stamp was taken.
    pub(crate) fn all_flushed_since(&self, stamp: u64) -> bool {
        self.flushed
            .iter()
            .take(self.vcpus)
            .all(|&flushed| flushed > stamp)
    }
}
