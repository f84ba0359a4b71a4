// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is behind a disk.

use std::io;

/// A disk's contents. Offsets and lengths are bytes, whole sectors, and within the size; calls may wait for
/// the medium.
pub trait Storage: Send {
    /// Its size.
    fn size(&self) -> u64;
    /// Whether every change is refused.
    fn is_read_only(&self) -> bool;
    /// Reads.
    ///
    /// # Errors
    /// When the medium fails.
    fn read(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes. The bytes are on the medium after the next [`Storage::flush`].
    ///
    /// # Errors
    /// When the medium fails or is full.
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes bytes zero; with `unmap`, the medium may be freed of them.
    ///
    /// # Errors
    /// As for [`Storage::write`].
    fn zero(&mut self, offset: u64, length: u64, unmap: bool) -> io::Result<()>;
    /// Says that bytes are not needed any more: they may be anything from now on.
    ///
    /// # Errors
    /// When the medium fails.
    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()>;
    /// Returns when everything that was written is where a cut of the power does not reach it.
    ///
    /// # Errors
    /// When that cannot be said.
    fn flush(&mut self) -> io::Result<()>;
}
