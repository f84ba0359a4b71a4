// SPDX-License-Identifier: MIT OR Apache-2.0

//! The end of a stream, kept for error reports.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept of a console.
const KEPT: usize = 64 << 10;

/// Lines of it that a report shows.
const SHOWN_LINES: usize = 25;

/// The last 64 KiB of a stream.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
    }

    /// The last lines, as text.
    pub fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous()).replace('\r', "");
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
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

    #[test]
    fn a_report_is_short() {
        let tail = Tail::default();
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        tail.follow(text.as_bytes(), None);
        assert!(tail.text().starts_with("75\n"));
    }
}
