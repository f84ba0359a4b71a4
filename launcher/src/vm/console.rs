// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest kernel's console: hypercalls, no device.

use std::collections::VecDeque;

/// Bytes kept of what the kernel printed.
const KEPT: usize = 64 << 10;
/// Lines of it that a report shows, and bytes: a kernel may print one line without an end.
const SHOWN: usize = 25;
const SHOWN_BYTES: usize = 4096;
/// Bytes of input that wait for the guest at most.
const INPUT_MAX: usize = 4096;

/// What the guest kernel printed last, and what it is to read.
#[derive(Debug, Default)]
pub struct GuestConsole {
    tail: VecDeque<u8>,
    input: VecDeque<u8>,
}

impl GuestConsole {
    /// Takes output.
    pub fn write(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
    }

    /// Gives input to the guest; how many bytes.
    pub fn read(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.input.len());
        for (to, from) in bytes.iter_mut().zip(self.input.drain(..count)) {
            *to = from;
        }
        count
    }

    /// Bytes that [`GuestConsole::type_in`] takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        INPUT_MAX.saturating_sub(self.input.len())
    }

    /// Adds input.
    pub fn type_in(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
    }

    /// The last lines, as text.
    #[must_use]
    pub fn text(&mut self) -> String {
        let kept = self.tail.make_contiguous();
        let shown = &kept[kept.len().saturating_sub(SHOWN_BYTES)..];
        let text = String::from_utf8_lossy(shown).replace('\r', "");
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_output_is_kept() {
        let mut console = GuestConsole::default();
        console.write(&vec![b'x'; 3 * KEPT]);
        console.write(b"\r\nlast\r\n");
        assert_eq!(console.tail.len(), KEPT);
        assert!(console.text().ends_with("\nlast"));
    }

    #[test]
    fn a_report_is_short() {
        let mut console = GuestConsole::default();
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        console.write(text.as_bytes());
        assert!(console.text().starts_with("75\n"));
        console.write(&vec![b'x'; 3 * SHOWN_BYTES]);
        assert_eq!(console.text().len(), SHOWN_BYTES);
    }

    #[test]
    fn input_is_given_in_order_and_bounded() {
        let mut console = GuestConsole::default();
        console.type_in(b"abc");
        assert_eq!(console.room(), INPUT_MAX - 3);
        let mut two = [0; 2];
        assert_eq!(console.read(&mut two), 2);
        assert_eq!(&two, b"ab");
        assert_eq!(console.read(&mut two), 1);
        assert_eq!(console.read(&mut two), 0);
    }
}
