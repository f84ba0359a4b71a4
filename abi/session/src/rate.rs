// SPDX-License-Identifier: MIT OR Apache-2.0

//! How fast something may happen.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A rate with a burst, as a bucket has it that is filled by so much a second, holds so much, and is full at first.
///
/// Text and JSON have the same form: `10M`, and `10M+64M` with a burst that is not what a second gives. A number alone
/// is bytes or operations; K, M, G and T are powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rate {
    second: u64,
    burst: u64,
}

/// Units and what they multiply by, the largest first.
const UNITS: [(char, u64); 4] = [
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
];

impl Rate {
    /// The most that either number can be: nothing that we know is as fast.
    pub const MOST: u64 = 1 << 50;

    /// So much in a second, and at once after a pause.
    ///
    /// # Errors
    /// A sentence, when one of the two is 0 or above [`Rate::MOST`].
    pub fn new(second: u64, burst: u64) -> Result<Self, String> {
        for number in [second, burst] {
            if number == 0 {
                return Err("a rate and its burst are at least 1".to_owned());
            }
            if number > Self::MOST {
                return Err(format!(
                    "a rate and its burst are at most {}",
                    Amount(Self::MOST)
                ));
            }
        }
        Ok(Rate { second, burst })
    }

    /// How much a second.
    #[must_use]
    pub const fn second(self) -> u64 {
        self.second
    }

    /// How much at once, when there was nothing for long enough.
    #[must_use]
    pub const fn burst(self) -> u64 {
        self.burst
    }
}

/// A number as people type it.
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &(char, u64)| self.0 != 0 && self.0 % factor == 0;
        match UNITS.iter().find(|&unit| whole(unit)) {
            Some((unit, factor)) => write!(formatter, "{}{unit}", self.0 / factor),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "expected a whole number with an optional unit (K, M, G, T), such as 10M, and not {text:?}"
            )
        };
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.to_ascii_uppercase();
        // As Docker has them, too: `kb`, `mb`.
        let unit = unit
            .strip_suffix("IB")
            .or(unit.strip_suffix('B'))
            .unwrap_or(&unit);
        let factor = match unit {
            "" => 1,
            unit => {
                let known = UNITS.iter().find(|(name, _)| name.to_string() == unit);
                known.ok_or_else(form)?.1
            }
        };
        let too_much = || format!("{text} is more than {}", Amount(Rate::MOST));
        if number.is_empty() {
            return Err(form());
        }
        // All digits: what does not fit is a number that is too large.
        let number: u64 = number.parse().map_err(|_| too_much())?;
        Ok(Amount(number.checked_mul(factor).ok_or_else(too_much)?))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", Amount(self.second))?;
        if self.burst != self.second {
            write!(formatter, "+{}", Amount(self.burst))?;
        }
        Ok(())
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (second, burst) = text.split_once('+').unwrap_or((text, text));
        let (Amount(second), Amount(burst)) = (second.parse()?, burst.parse()?);
        Rate::new(second, burst)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// How fast one direction of a device may be; what is not said is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Bytes.
    pub bytes: Option<Rate>,
    /// Requests to a disk, or packets (Ethernet frames) of a network card.
    pub operations: Option<Rate>,
}

impl Rates {
    /// Nothing is limited.
    pub const NONE: Rates = Rates {
        bytes: None,
        operations: None,
    };

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_none() && self.operations.is_none()
    }
}

/// How fast a disk may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRates {
    /// Bytes a second that are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bps: Option<Rate>,
    /// Bytes a second that are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_bps: Option<Rate>,
    /// Requests to read a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_iops: Option<Rate>,
    /// Requests a second to write, and to whatever else changes the disk or waits for its medium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_iops: Option<Rate>,
}

impl DiskRates {
    /// How people call the limits, after Docker's `--device-read-bps` and so on.
    pub const NAMES: [&str; 4] = ["read-bps", "write-bps", "read-iops", "write-iops"];

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.read().is_empty() && self.write().is_empty()
    }

    /// How fast it may be read.
    #[must_use]
    pub const fn read(&self) -> Rates {
        Rates {
            bytes: self.read_bps,
            operations: self.read_iops,
        }
    }

    /// How fast it may be written.
    #[must_use]
    pub const fn write(&self) -> Rates {
        Rates {
            bytes: self.write_bps,
            operations: self.write_iops,
        }
    }

    /// The limit of one of [`DiskRates::NAMES`].
    pub fn named(&mut self, name: &str) -> Option<&mut Option<Rate>> {
        match name {
            "read-bps" => Some(&mut self.read_bps),
            "write-bps" => Some(&mut self.write_bps),
            "read-iops" => Some(&mut self.read_iops),
            "write-iops" => Some(&mut self.write_iops),
            _ => None,
        }
    }
}

/// As words of the option `--disk`: `:read-bps=10M:write-iops=100`, or nothing.
impl fmt::Display for DiskRates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rates = *self;
        Self::NAMES
            .iter()
            .try_for_each(|name| match rates.named(name).copied().flatten() {
                Some(rate) => write!(formatter, ":{name}={rate}"),
                None => Ok(()),
            })
    }
}

/// How fast a network card may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRates {
    /// Bytes a second that the container receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_rate: Option<Rate>,
    /// Packets (Ethernet frames) a second that it receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_packets: Option<Rate>,
    /// Bytes a second that it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_rate: Option<Rate>,
    /// Packets a second that it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_packets: Option<Rate>,
}

impl NetworkRates {
    /// Nothing is limited.
    pub const NONE: NetworkRates = NetworkRates {
        ingress_rate: None,
        ingress_packets: None,
        egress_rate: None,
        egress_packets: None,
    };

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ingress().is_empty() && self.egress().is_empty()
    }

    /// How fast the container may receive.
    #[must_use]
    pub const fn ingress(&self) -> Rates {
        Rates {
            bytes: self.ingress_rate,
            operations: self.ingress_packets,
        }
    }

    /// How fast it may send.
    #[must_use]
    pub const fn egress(&self) -> Rates {
        Rates {
            bytes: self.egress_rate,
            operations: self.egress_packets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_people_type_and_comes_back_in_its_shortest_form() {
        for (text, second, burst, short) in [
            ("1", 1, 1, "1"),
            ("1000", 1000, 1000, "1000"),
            ("10m", 10 << 20, 10 << 20, "10M"),
            ("10MB", 10 << 20, 10 << 20, "10M"),
            ("10MiB+1g", 10 << 20, 1 << 30, "10M+1G"),
            ("1024K+1M", 1 << 20, 1 << 20, "1M"),
            ("100+7", 100, 7, "100+7"),
            ("1536K", 1536 << 10, 1536 << 10, "1536K"),
            ("1024T", 1 << 50, 1 << 50, "1024T"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.second(), rate.burst()), (second, burst), "{text}");
            assert_eq!(rate.to_string(), short);
            assert_eq!(short.parse(), Ok(rate));
        }
        for (text, part) in [
            ("", "such as 10M"),
            ("M", "such as 10M"),
            ("10X", "\"10X\""),
            ("1.5M", "whole number"),
            ("-1", "whole number"),
            ("10M+", "such as 10M"),
            ("+10M", "such as 10M"),
            ("1+2+3", "\"2+3\""),
            ("10M/s", "\"10M/s\""),
            ("0", "at least 1"),
            ("1+0", "at least 1"),
            ("1025T", "at most 1024T"),
            ("99999999T", "more than 1024T"),
            ("99999999999999999999", "more than 1024T"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn each_limit_of_a_disk_has_a_name() {
        let mut rates = DiskRates::default();
        assert_eq!((rates.is_empty(), rates.to_string()), (true, String::new()));
        for (number, name) in (1..).zip(DiskRates::NAMES) {
            *rates.named(name).unwrap() = Some(Rate::new(number, 9).unwrap());
        }
        let rate = |second| Some(Rate::new(second, 9).unwrap());
        let rates_of = |bytes, operations| Rates {
            bytes: rate(bytes),
            operations: rate(operations),
        };
        assert_eq!(
            (rates.read(), rates.write()),
            (rates_of(1, 3), rates_of(2, 4))
        );
        let words = ":read-bps=1+9:write-bps=2+9:read-iops=3+9:write-iops=4+9";
        assert_eq!((rates.is_empty(), &*rates.to_string()), (false, words));
        assert_eq!(rates.named("bps"), None);
    }

    #[test]
    fn who_limits_a_disk_or_a_network_needs_a_server_that_can() {
        use crate::{Container, Disk, Memory, Network, Run, feature};
        let mut container = Container::new(Memory::constant(64));
        container.network = Some(Network::user());
        container.disks.push(Disk::new("a", false));
        let without = [feature::CONTAINER, feature::DISKS, feature::NETWORK];
        let with = [&without[..], &[feature::RATES]].concat();
        let lacks = |container: &Container| {
            let run = Run {
                container: Some(container.clone()),
                ..Run::new(["true"])
            };
            assert_eq!(run.unsupported(&with), None);
            run.unsupported(&without)
        };
        assert_eq!(lacks(&container), None);
        let mut limited = container.clone();
        limited.disks[0].rates.read_iops = Rate::new(100, 100).ok();
        assert_eq!(lacks(&limited), Some("rates"));
        let mut network = Network::user();
        network.rates.egress_rate = Rate::new(1 << 20, 1 << 22).ok();
        container.network = Some(network);
        assert_eq!(lacks(&container), Some("rates"));
    }
}
