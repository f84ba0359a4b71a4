// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a reader of archives (`tar`) gets between the contents of two entries: no more than a header may have, and the
//! padding behind the last entry also where the archive lacks it.

use std::cell::Cell;
use std::io::{self, Read};

/// What an error at the limit says, to be told from others.
pub const LIMIT: &str = "more bytes of a name than the limit";

/// Length of the blocks that an archive consists of.
const BLOCK: u64 = 512;

/// Where in an archive its reader is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// All contents of the entry before have been read, and nothing since.
    Behind,
    /// Bytes that the next header may still have.
    Header(u64),
    /// In the contents of an entry.
    Contents,
}

/// An archive, for its reader; who uses that says where it is.
pub struct Headers<'a> {
    from: &'a mut dyn Read,
    place: &'a Cell<Place>,
    most: u64,
    read: u64,
}

impl<'a> Headers<'a> {
    /// An archive whose headers have at most `most` bytes.
    pub fn new(from: &'a mut dyn Read, place: &'a Cell<Place>, most: u64) -> Self {
        Self {
            from,
            place,
            most,
            read: 0,
        }
    }
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut n = self.from.read(buffer)?;
        let place = self.place.get();
        let left = match place {
            Place::Contents => None,
            Place::Header(left) => Some(left),
            Place::Behind => Some(self.most),
        };
        if n == 0 && matches!(place, Place::Behind) {
            // `umoci insert` ends an archive with the last byte of contents, and what is written in Go takes that.
            let padding = (self.read.next_multiple_of(BLOCK) - self.read) as usize;
            n = padding.min(buffer.len());
            buffer[..n].fill(0);
        }
        self.read += n as u64;
        if let Some(left) = left {
            let left = left.checked_sub(n as u64);
            let left = left.ok_or_else(|| io::Error::other(LIMIT))?;
            self.place.set(Place::Header(left));
        }
        Ok(n)
    }
}
