// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sizes and durations as people type them.

use std::time::Duration;

/// Memory of a machine in MiB, at least [`MemoryMib::MIN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryMib(u32);

impl MemoryMib {
    /// Least memory in MiB with which the kernel still reaches init.
    pub const MIN: u32 = 128;
    /// Most memory in MiB that a microvm machine takes here (1 TiB).
    pub const MAX: u32 = 1 << 20;
    /// What a machine gets when nothing is said.
    pub const DEFAULT: Self = Self(1024);

    /// `mib` MiB.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn new(mib: u32) -> Result<Self, String> {
        if (Self::MIN..=Self::MAX).contains(&mib) {
            Ok(Self(mib))
        } else {
            Err(format!(
                "memory must be between {} MiB and {} GiB",
                Self::MIN,
                Self::MAX >> 10
            ))
        }
    }

    /// This and `mib` MiB more, [`MemoryMib::MAX`] at most.
    #[must_use]
    pub const fn with(self, mib: u32) -> Self {
        let sum = self.0.saturating_add(mib);
        Self(if sum > Self::MAX { Self::MAX } else { sum })
    }

    /// The amount in MiB.
    #[must_use]
    pub const fn mib(self) -> u32 {
        self.0
    }
}

/// Reads `512M`, `2G`, `2GiB`, `1048576K`; a number alone is MiB, as for QEMU.
///
/// # Errors
/// A sentence for the user.
pub fn parse_memory(text: &str) -> Result<MemoryMib, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number with an optional unit, such as 512M or 2G".to_owned())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let kib_per_unit: u64 = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "k" => 1,
        "" | "m" => 1 << 10,
        "g" => 1 << 20,
        "t" => 1 << 30,
        _ => return Err(format!("unknown unit {unit:?}: use K, M, G or T")),
    };
    let kib = number
        .checked_mul(kib_per_unit)
        .ok_or_else(|| "the number is too large".to_owned())?;
    if kib % 1024 != 0 {
        return Err("memory must be a whole number of MiB".to_owned());
    }
    MemoryMib::new(u32::try_from(kib >> 10).unwrap_or(u32::MAX))
}

/// Reads `1.5`, `30` (seconds) or `2m`, `1h 30m`, `500ms`; more than zero.
///
/// # Errors
/// A sentence for the user.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string())?,
    };
    if duration.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(duration)
}

/// Reads `KEY=VALUE`; the key is not empty.
///
/// # Errors
/// A sentence for the user.
pub fn parse_env(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !text.contains('\0') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// `bytes` as a person reads it, such as `1.5 GiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_takes_the_usual_units_and_means_mib_without_one() {
        for (text, mib) in [
            ("512M", 512),
            ("512", 512),
            ("2G", 2048),
            ("2GiB", 2048),
            ("2 gb", 2048),
            ("1048576K", 1024),
        ] {
            assert_eq!(parse_memory(text).map(MemoryMib::mib), Ok(mib), "{text}");
        }
    }

    #[test]
    fn memory_that_makes_no_sense_is_refused() {
        for text in [
            "",
            "M",
            "-1",
            "1",
            "64M",
            "1.5G",
            "5X",
            "3T",
            "131073K",
            "99999999999999999999G",
            "18446744073709551615T",
        ] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["0", "-1", "soon", "NaN", "inf", "1e300"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_environment_entry_needs_a_name() {
        assert_eq!(parse_env("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(parse_env("A="), Ok(("A".into(), String::new())));
        for text in ["A", "=b", "", "A=\0"] {
            assert!(parse_env(text).is_err(), "{text:?}");
        }
    }
}
