// SPDX-License-Identifier: MIT OR Apache-2.0

//! A qcow2 image, by imago.
//!
//! An image that refers to other files (a backing file, an external data file) is refused: their names
//! are the image's, and would be opened with the user's rights.

use std::fs;
use std::io;
use std::sync::Arc;

use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder};

use crate::virtio::storage::Storage;

/// The image.
#[derive(Debug)]
pub struct Qcow2Image {
    image: FormatAccess<File>,
    read_only: bool,
}

impl Qcow2Image {
    /// A disk with the contents of the image in `file`, which is open for writing unless `read_only`.
    ///
    /// # Errors
    /// When it is no such image, is damaged, or refers to other files.
    pub fn new(file: fs::File, read_only: bool) -> io::Result<Self> {
        let image = Qcow2::<File, Arc<FormatAccess<File>>>::builder(file.try_into()?)
            .write(!read_only)
            .open(DenyImplicitOpenGate::default())?;
        Ok(Qcow2Image {
            image: FormatAccess::new(image),
            read_only,
        })
    }
}

impl Storage for Qcow2Image {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.image.read(bytes, offset)
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.image.write(bytes, offset)
    }

    fn zero(&mut self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        match unmap {
            true => self.image.discard_to_zero(offset, length),
            false => self.image.write_zeroes(offset, length),
        }
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.image.discard_to_any(offset, length)
    }

    fn flush(&mut self) -> io::Result<()> {
        // What it holds back of its tables, and then the file.
        self.image.flush()?;
        self.image.sync()
    }
}
