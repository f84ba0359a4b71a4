// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a machine reads and writes: a stream that a test looks at afterwards, or nothing.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use cki_machine::Io;

/// No input, and output that nobody wants.
#[must_use]
pub fn nothing() -> Io {
    Io::new(std::io::empty(), std::io::sink(), std::io::sink())
}

/// A stream that keeps what is written to it. Clones are the same stream.
#[derive(Clone, Debug, Default)]
pub struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    /// What was written until now; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
