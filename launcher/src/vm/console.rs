// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest kernel's console: hypercalls, no device.

use std::collections::VecDeque;

use cki_session::console::{self, KEPT};

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

    /// The last lines, as [`console::report`] has them.
    #[must_use]
    pub fn text(&mut self) -> String {
        console::report(self.tail.make_contiguous())
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
