// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random numbers of a seed, the same on every machine.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng as _;

/// PCG XSL RR 128/64, as `rand_pcg` has it. Numbers in a range and fractions are made here, since how another crate
/// makes them may change with its version, and every known sum with it.
#[derive(Debug)]
pub struct Random(Pcg64);

impl Random {
    /// The numbers of `seed`; another `stream` of the same seed has others.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg64::new(seed.into(), stream.into()))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `end` - 1. Of those, some come more often than others, by one time in 2^64 / `end`.
    ///
    /// # Panics
    ///
    /// If `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is no number below 0");
        let product = u128::from(self.number()) * u128::from(end);
        u64::try_from(product >> 64).expect("less than `end`")
    }

    /// A fraction, at least 0 and less than 1: a multiple of 2^-53.
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what a fraction has"
    )]
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_are_the_same_forever() {
        // Those of the authors' own program for this state and stream.
        let mut random = Random::new(42, 54);
        let numbers: [u64; 3] = std::array::from_fn(|_| random.number());
        let known = [
            0x86b1_da1d_7206_2b68,
            0x1304_aa46_c985_3d39,
            0xa367_0e9e_0dd5_0358,
        ];
        assert_eq!(numbers, known);
    }

    #[test]
    fn a_range_is_met_from_end_to_end_and_never_left() {
        let mut random = Random::new(7, 0);
        let mut met = [0_u32; 10];
        for _ in 0..10_000 {
            met[usize::try_from(random.below(10)).expect("small")] += 1;
        }
        assert!(
            met.iter().all(|times| (850..1150).contains(times)),
            "{met:?}"
        );
    }

    #[test]
    fn fractions_are_spread_between_0_and_1() {
        let mut random = Random::new(7, 0);
        let all: Vec<f64> = (0..10_000).map(|_| random.fraction()).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        let mean = all.iter().sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
    }
}
