// SPDX-License-Identifier: MIT OR Apache-2.0

//! One number that stands for a result: if anything of it is another, or in another order, so is the sum.

/// After FNV-1a of 64 bits, but of words. It finds mistakes, not forgeries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes one more word in.
    pub const fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        // FNV-1a takes bytes, so it need not bring upper bits down.
        self.0 ^= self.0 >> 32;
    }

    /// Of all words so far.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[u64]) -> u64 {
        let mut sum = Sum::new();
        words.iter().for_each(|&word| sum.add(word));
        sum.value()
    }

    #[test]
    fn each_bit_and_the_order_count() {
        let one = of(&[1, 2]);
        assert_ne!(one, of(&[2, 1]));
        assert_ne!(one, of(&[1, 2, 0]));
        for bit in 0..64 {
            assert_ne!(one, of(&[1 ^ 1 << bit, 2]), "{bit}");
        }
    }
}
