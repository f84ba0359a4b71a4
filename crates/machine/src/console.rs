// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a stream, kept for error reports.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use cki_session::console::{self, KEPT};

/// The last [`KEPT`] bytes of a stream.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
    }

    /// The last lines, as [`console::report`] has them.
    pub fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        console::report(kept.make_contiguous())
    }

    /// Reads `from` to its end, keeping the tail and copying all to `copy` for as long as that works.
    pub fn follow(&self, mut from: impl Read, mut copy: Option<Box<dyn Write + Send>>) {
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            self.push(&buffer[..n]);
            if let Some(writer) = &mut copy {
                if writer.write_all(&buffer[..n]).is_err() {
                    copy = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let tail = Tail::default();
        tail.follow(&vec![b'x'; 3 * KEPT][..], None);
        tail.follow(&b"\r\nlast\r\n"[..], None);
        assert_eq!(tail.0.lock().expect("lock").len(), KEPT);
        assert!(tail.text().ends_with("\nlast"));
    }
}
