// SPDX-License-Identifier: MIT OR Apache-2.0

//! Flushes, and vCPUs that start and stop (I4): what [`crate::epochs`] is told.

use crate::epochs::Flush;
use crate::memory::PhysMem;
use crate::monitor::Monitor;
use crate::refusal::Refusal;

impl<M: PhysMem> Monitor<'_, M> {
    /// To be called before a CPU starts to flush everything. What it returns stands for the flush of
    /// one CPU: two that flush at the same time take one each.
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
}
