// SPDX-License-Identifier: MIT OR Apache-2.0

//! Amounts of memory, as people type them and as messages carry them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of memory: whole MiB, at least one, at most [`Memory::MAX`].
///
/// Text and JSON have the same form: `512M`, `2G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Memory {
    mib: u32,
}

/// Why a text is no amount of memory, as a sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// There is no number in front.
    #[error("expected a number with an optional unit, such as 512M or 1.5G")]
    NoNumber,
    /// There is no such unit.
    #[error("unknown unit {0:?}: use K, M, G or T")]
    Unit(String),
    /// Not a whole number of MiB.
    #[error("memory is given in whole MiB, and {text} is not: take {down}M or {up}M")]
    NotWhole {
        /// What was typed.
        text: String,
        /// The next amount below, in MiB.
        down: u64,
        /// The next amount above, in MiB.
        up: u64,
    },
    /// Nothing, or less than 1 MiB.
    #[error("memory is at least 1M")]
    TooLittle,
    /// More than [`Memory::MAX`].
    #[error(
        "memory is at most {}, and that of a container {}; a number without a unit is of MiB",
        Memory::MAX,
        Memory::CONTAINER_MAX
    )]
    TooMuch,
}

/// Most digits after the point; more could not be exact in 64 bits.
const FRACTION_DIGITS: usize = 9;

impl Memory {
    /// The most that a message can carry (1 TiB). What a machine or a container takes is less.
    pub const MAX: Memory = Memory { mib: 1 << 20 };

    /// The most that a container takes (256 GiB): as many frames as its monitor keeps count of.
    pub const CONTAINER_MAX: Memory = Memory::constant(262_144);

    /// `mib` MiB.
    ///
    /// # Errors
    /// [`MemoryError::TooLittle`] for 0, [`MemoryError::TooMuch`] above [`Memory::MAX`].
    pub const fn from_mib(mib: u64) -> Result<Self, MemoryError> {
        if mib == 0 {
            return Err(MemoryError::TooLittle);
        }
        if mib > Self::MAX.mib as u64 {
            return Err(MemoryError::TooMuch);
        }
        Ok(Memory { mib: mib as u32 })
    }

    /// `mib` MiB, for constants of a program.
    ///
    /// # Panics
    /// When that is nothing, or more than [`Memory::MAX`]; in a constant the compiler says so.
    #[must_use]
    pub const fn constant(mib: u32) -> Self {
        assert!(mib != 0 && mib <= Self::MAX.mib, "no amount of memory");
        Memory { mib }
    }

    /// The amount in MiB.
    #[must_use]
    pub const fn mib(self) -> u32 {
        self.mib
    }

    /// The amount in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.mib as u64) << 20
    }

    /// This and `mib` MiB more, [`Memory::MAX`] at most.
    #[must_use]
    pub const fn plus_mib(self, mib: u32) -> Self {
        let sum = self.mib.saturating_add(mib);
        Memory {
            mib: if sum > Self::MAX.mib {
                Self::MAX.mib
            } else {
                sum
            },
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mib {
            mib if mib % 1024 == 0 => write!(formatter, "{}G", mib / 1024),
            mib => write!(formatter, "{mib}M"),
        }
    }
}

impl From<Memory> for String {
    fn from(memory: Memory) -> Self {
        memory.to_string()
    }
}

impl TryFrom<String> for Memory {
    type Error = MemoryError;

    fn try_from(text: String) -> Result<Self, MemoryError> {
        text.parse()
    }
}

/// `512M`, `1.5G`, `2GiB`, `1048576K`; a number alone is MiB, as for QEMU.
impl FromStr for Memory {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<Self, MemoryError> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let kib_per_unit: u128 = match unit.trim().to_ascii_lowercase().as_str() {
            "k" | "kb" | "kib" => 1,
            "" | "m" | "mb" | "mib" => 1 << 10,
            "g" | "gb" | "gib" => 1 << 20,
            "t" | "tb" | "tib" => 1 << 30,
            _ if number.is_empty() => return Err(MemoryError::NoNumber),
            _ => return Err(MemoryError::Unit(unit.trim().to_owned())),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return Err(MemoryError::NoNumber);
        }
        if fraction.len() > FRACTION_DIGITS {
            return Err(MemoryError::NoNumber);
        }
        // All digits: what does not fit is a number that is too large.
        let whole: u64 = whole.parse().map_err(|_| MemoryError::TooMuch)?;
        let scale = 10_u128.pow(fraction.len() as u32);
        let fraction: u128 = fraction.parse().map_err(|_| MemoryError::NoNumber)?;
        // At most 2^64 * 10^9 * 2^30, so this is exact.
        let scaled_kib = (u128::from(whole) * scale + fraction) * kib_per_unit;
        let per_mib = scale << 10;
        let (down, rest) = (scaled_kib / per_mib, scaled_kib % per_mib);
        if down > u128::from(Self::MAX.mib) {
            return Err(MemoryError::TooMuch);
        }
        let down = down as u64;
        match (down, rest) {
            (0, _) => Err(MemoryError::TooLittle),
            (_, 0) => Self::from_mib(down),
            _ => Err(MemoryError::NotWhole {
                text: text.to_owned(),
                down,
                up: down + 1,
            }),
        }
    }
}
