// SPDX-License-Identifier: MIT OR Apache-2.0

//! The buffers of a request, as one row of bytes.
//!
//! The bytes in them may change at any time; what is read is read once.

use vm_memory::VolatileSlice;

use super::DriverFault;
use crate::copy;

/// Bytes in guest memory, in one or several pieces, from the first that is not yet passed.
#[derive(Default)]
pub(super) struct Buffers<'m> {
    pieces: Vec<VolatileSlice<'m>>,
    /// Pieces that are passed.
    passed: usize,
    /// Bytes that are passed of the piece after these.
    within: usize,
    /// Bytes that are left.
    left: usize,
}

/// Pieces for which there is room once there are more than a few: who has many has a whole table of them.
const MANY: usize = 64;

impl<'m> Buffers<'m> {
    /// None yet, with room for so many pieces.
    pub fn of(pieces: usize) -> Self {
        Buffers {
            pieces: Vec::with_capacity(pieces),
            ..Buffers::default()
        }
    }

    /// Adds a piece behind the others.
    ///
    /// # Errors
    /// When the length of all of them is no number.
    pub fn push(&mut self, piece: VolatileSlice<'m>) -> Result<(), DriverFault> {
        let left = self.left.checked_add(piece.len());
        self.left = left.ok_or(DriverFault::Request("buffers without end"))?;
        if piece.is_empty() {
            return Ok(());
        }
        let length = self.pieces.len();
        if length != 0 && length == self.pieces.capacity() {
            self.pieces.reserve(length.max(MANY));
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Takes the last byte away from those that are left.
    pub fn take_last(&mut self) -> Option<Buffers<'m>> {
        let last = self.pieces.last_mut().filter(|_| self.left != 0)?;
        let before = last.len().checked_sub(1)?;
        let byte = last.offset(before).ok()?;
        *last = last.subslice(0, before).ok()?;
        self.left -= 1;
        Some(Buffers {
            pieces: vec![byte],
            left: 1,
            ..Buffers::default()
        })
    }

    /// Copies the next bytes out of guest memory.
    ///
    /// # Errors
    /// When there are not so many; then none is passed.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<(), DriverFault> {
        let mut done = 0;
        self.pass(bytes.len(), |piece| {
            done += copy::out_of(&piece, &mut bytes[done..]);
        })
    }

    /// Copies bytes to the next places in guest memory.
    ///
    /// # Errors
    /// As for [`Buffers::read`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DriverFault> {
        let mut done = 0;
        self.pass(bytes.len(), |piece| {
            done += copy::into(&bytes[done..], &piece);
        })
    }

    /// Passes so many bytes, each piece of them handed to `each`.
    fn pass(
        &mut self,
        count: usize,
        mut each: impl FnMut(VolatileSlice<'m>),
    ) -> Result<(), DriverFault> {
        if count > self.left {
            return Err(DriverFault::Request("a buffer that is too small"));
        }
        let broken = |_| DriverFault::Request("a buffer that is not as long as it was");
        let mut rest = count;
        while rest != 0 {
            let Some(piece) = self.pieces.get(self.passed) else {
                return Err(DriverFault::Request("a buffer that is too small"));
            };
            let part = rest.min(piece.len() - self.within);
            each(piece.subslice(self.within, part).map_err(broken)?);
            rest -= part;
            self.left -= part;
            self.within += part;
            if self.within == piece.len() {
                self.passed += 1;
                self.within = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::testing::memory;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

    fn buffers<'m>(memory: &'m GuestMemoryMmap, pieces: &[(u64, usize)]) -> Buffers<'m> {
        let mut buffers = Buffers::default();
        for &(at, length) in pieces {
            let slice = memory.get_slice(GuestAddress(at), length).unwrap();
            buffers.push(slice).unwrap();
        }
        buffers
    }

    #[test]
    fn pieces_are_one_row_of_bytes_and_the_last_can_be_taken_away() {
        let memory = memory();
        let pieces = [(100, 3), (200, 5), (300, 0), (400, 4), (500, 0)];
        let mut written = buffers(&memory, &pieces);
        let mut last = written.take_last().unwrap();
        assert_eq!((written.left(), last.left()), (11, 1));
        written.write(b"abcd").unwrap();
        written.write(b"efghijk").unwrap();
        last.write(b"l").unwrap();
        assert_eq!((written.left(), last.left()), (0, 0));
        assert!(last.take_last().is_none());
        let mut read = buffers(&memory, &pieces);
        let mut bytes = [0; 12];
        read.read(&mut bytes[..2]).unwrap();
        read.read(&mut bytes[2..9]).unwrap();
        // More than there is: none is passed.
        assert!(read.read(&mut [0; 4]).is_err());
        read.read(&mut bytes[9..]).unwrap();
        assert_eq!(&bytes, b"abcdefghijkl");
        assert!(read.write(b"m").is_err());
        assert!(read.read(&mut []).is_ok());
    }

    #[test]
    fn a_last_byte_in_a_piece_of_its_own_leaves_nothing_behind() {
        let memory = memory();
        let mut buffers = buffers(&memory, &[(100, 2), (200, 1)]);
        buffers.take_last().unwrap().write(b"!").unwrap();
        buffers.write(b"ab").unwrap();
        assert_eq!(buffers.left(), 0);
        let mut byte = [0];
        memory.read_slice(&mut byte, GuestAddress(200)).unwrap();
        assert_eq!(&byte, b"!");
        assert!(Buffers::default().take_last().is_none());
    }
}
