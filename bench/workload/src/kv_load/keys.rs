// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which keys are asked for, and what their values are.

use crate::random::Random;

/// Keys around the middle of a range.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// How many there are.
    pub count: u64,
    /// Their standard deviation from the middle.
    pub deviation: f64,
}

impl Keys {
    /// The next key, at least 0 and below `count`. Its distribution is the normal one within a hundredth: the sum of
    /// twelve fractions has a deviation of 1, and it is the same on every machine. What is outside is drawn again.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is not in the range is drawn again, and ranges are far below 2^53"
    )]
    pub fn next(&self, random: &mut Random) -> u64 {
        loop {
            let sum: f64 = (0..12).map(|_| random.fraction()).sum();
            let key = self.count as f64 / 2.0 + (sum - 6.0) * self.deviation;
            if (0.0..self.count as f64).contains(&key) {
                return key as u64;
            }
        }
    }
}

/// The value of a key: each key's differs.
pub fn value(key: u64, seed: u64, length: usize) -> Vec<u8> {
    let mut word = key ^ seed.rotate_left(32);
    let words = std::iter::repeat_with(|| {
        // The constants of a linear congruential generator by Knuth (MMIX).
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        word.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_around_the_middle_as_often_as_a_normal_distribution_has_it() {
        let keys = Keys {
            count: 500_000,
            deviation: 34_167.0,
        };
        let mut random = Random::new(1, 0);
        let all: Vec<u64> = (0..20_000).map(|_| keys.next(&mut random)).collect();
        assert!(all.iter().all(|key| *key < 500_000));
        for (deviations, share) in [(1, 0.6827), (2, 0.9545)] {
            let near = all
                .iter()
                .filter(|key| key.abs_diff(250_000) < deviations * 34_167);
            let is = f64::from(u32::try_from(near.count()).expect("few")) / 20_000.0;
            assert!((is - share).abs() < 0.02, "{deviations}: {is}");
        }
    }

    #[test]
    fn a_range_is_not_left_when_the_deviation_is_larger() {
        let keys = Keys {
            count: 3,
            deviation: 50.0,
        };
        let mut random = Random::new(1, 0);
        let mut met = [false; 3];
        for _ in 0..1_000 {
            met[usize::try_from(keys.next(&mut random)).expect("small")] = true;
        }
        assert_eq!(met, [true; 3]);
    }

    #[test]
    fn values_differ_by_key_and_seed() {
        assert_eq!(value(7, 1, 500).len(), 500);
        assert_eq!(value(7, 1, 500), value(7, 1, 500));
        assert_ne!(value(7, 1, 8), value(8, 1, 8));
        assert_ne!(value(7, 1, 8), value(7, 2, 8));
    }
}
