// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sizes as people read them.

/// What a size is counted in, each 1024 times the one before.
const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `bytes` as a person reads it, such as `1.50 GiB`.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "two decimals are shown, and a double has fifteen"
)]
pub fn human_bytes(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut step = 0;
    while amount >= 1024.0 {
        amount /= 1024.0;
        step += 1;
    }
    match step {
        0 => format!("{bytes} B"),
        _ => format!("{amount:.2} {}", UNITS[step]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_two_decimals_of_its_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (15, "15 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_500, "1.46 KiB"),
            ((1 << 20) - 1, "1024.00 KiB"),
            (1 << 20, "1.00 MiB"),
            (3 << 29, "1.50 GiB"),
            (1_500_000_000_000, "1.36 TiB"),
            (1_500_000_000_000_000, "1.33 PiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
