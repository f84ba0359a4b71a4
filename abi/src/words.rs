// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading structures of 64-bit words from an array of them, which is what a union is to Rust here.

/// A type that consists of 64-bit words.
pub trait Words: Sized {
    /// From the first words of `words`.
    ///
    /// # Panics
    ///
    /// If there are too few.
    fn from_words(words: &[u64]) -> Self;
}

impl Words for u64 {
    fn from_words(words: &[u64]) -> Self {
        words[0]
    }
}

impl<const N: usize> Words for [u64; N] {
    fn from_words(words: &[u64]) -> Self {
        core::array::from_fn(|index| words[index])
    }
}
