// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian version numbers and their order (Debian Policy, section 5.6.12).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Debian version, `[epoch:]upstream[-revision]`.
///
/// Equality is that of the order: `1.0`, `0:1.0`, `1.00` and `1.0-0` are all equal, though they are
/// written differently.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    text: String,
    epoch: u32,
    /// Where the upstream version starts and ends in `text`; the revision, if any, follows a dash.
    upstream: (usize, usize),
}

/// Why a text is not a Debian version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// There is no upstream version.
    #[error("version '{0}' has no upstream part")]
    Empty(String),
    /// The epoch is not a number that fits in 31 bits (as in dpkg).
    #[error("version '{0}' has an epoch that is not a number")]
    Epoch(String),
    /// A character that the policy does not allow at that place.
    #[error("version '{0}' contains the character '{1}'")]
    Character(String, char),
}

impl Version {
    /// Reads a version; surrounding white space is not part of it.
    ///
    /// # Errors
    /// Refuses what Debian Policy 5.6.12 does, except that an upstream version may start with a
    /// letter: some packages in the archive do that and dpkg accepts them.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        let (epoch, start) = match text.split_once(':') {
            None => (0, 0),
            Some((digits, _)) => {
                let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                let epoch = digits
                    .parse::<u32>()
                    .ok()
                    .filter(|n| valid && *n <= i32::MAX as u32);
                (
                    epoch.ok_or_else(|| VersionError::Epoch(text.into()))?,
                    digits.len() + 1,
                )
            }
        };
        let end = text[start..]
            .rfind('-')
            .map_or(text.len(), |dash| start + dash);
        if start == end {
            return Err(VersionError::Empty(text.into()));
        }
        let refuse = |part: &str, extra: &[char]| {
            part.chars()
                .find(|c| !c.is_ascii_alphanumeric() && !extra.contains(c))
                .map_or(Ok(()), |c| Err(VersionError::Character(text.into(), c)))
        };
        refuse(&text[start..end], &['.', '+', '-', '~', ':'])?;
        if end < text.len() {
            refuse(&text[end + 1..], &['.', '+', '~'])?;
        }
        Ok(Self {
            text: text.to_owned(),
            epoch,
            upstream: (start, end),
        })
    }

    /// The version as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The number before the colon, 0 when there is none.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The upstream version.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.text[self.upstream.0..self.upstream.1]
    }

    /// What follows the last dash; empty when there is none.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.text.get(self.upstream.1 + 1..).unwrap_or("")
    }
}

/// The weight of a character in the non-digit parts: `~` before the end, the end before letters,
/// letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None | Some(b'0'..=b'9') => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

/// Compares two upstream versions or revisions: non-digit and digit parts in turn.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let is_text = |s: &[u8]| s.first().is_some_and(|c| !c.is_ascii_digit());
    while !a.is_empty() || !b.is_empty() {
        while is_text(a) || is_text(b) {
            match weight(a.first()).cmp(&weight(b.first())) {
                Ordering::Equal => {
                    a = a.get(1..).unwrap_or(&[]);
                    b = b.get(1..).unwrap_or(&[]);
                }
                unequal => return unequal,
            }
        }
        let (number_a, rest_a) = split_number(a);
        let (number_b, rest_b) = split_number(b);
        let order = number_a
            .len()
            .cmp(&number_b.len())
            .then_with(|| number_a.cmp(number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Splits off the leading digits, without their leading zeros. Numbers are compared by length and
/// then by digits, as they may be longer than any integer type (dates with times are common).
fn split_number(s: &[u8]) -> (&[u8], &[u8]) {
    let end = s
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(s.len());
    let (digits, rest) = s.split_at(end);
    let zeros = digits.iter().take_while(|b| **b == b'0').count();
    (&digits[zeros..], rest)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream().as_bytes(), other.upstream().as_bytes()))
            .then_with(|| compare_part(self.revision().as_bytes(), other.revision().as_bytes()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::parse(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_ordered_as_policy_says() {
        let ascending = [
            // Policy 5.6.12: "~~, ~~a, ~, the empty part and a" are in this order.
            &["1~~", "1~~a", "1~", "1", "1a"][..],
            &["1.0~beta1~svn1245", "1.0~beta1", "1.0"],
            &["1.0", "1.0-1", "1.0-1.1", "1.0-1.2", "1.0-2", "1.0-10"],
            &["1.0-1", "1.0+dfsg-1", "1.0.1-1"],
            &["9.9-9", "1:0.1-1", "2:0.0"],
            &["0.9", "0.10", "0.10a", "0.10+b", "0.10.0", "0.11"],
            &[
                "1.85.0+dfsg3-1~deb12u3",
                "1.85.0+dfsg3-1",
                "1.96.0+dfsg1-1~deb12u1",
            ],
            &["6.12.95-1~bpo12+1", "6.12.95-1", "6.12.95-1+b1"],
            &[
                "20240101",
                "20240101120000",
                "99999999999999999999999",
                "100000000000000000000000",
            ],
            &["1-1", "1-a", "1-+"],
        ];
        for list in ascending {
            for (i, a) in list.iter().enumerate() {
                for (j, b) in list.iter().enumerate() {
                    assert_eq!(version(a).cmp(&version(b)), i.cmp(&j), "{a} against {b}");
                }
            }
        }
    }

    #[test]
    fn a_missing_epoch_revision_or_leading_zero_makes_no_difference() {
        for (a, b) in [
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.0", "1.00"),
            ("1.0-1", "1.0-01"),
        ] {
            assert_eq!(version(a), version(b));
        }
    }

    #[test]
    fn the_revision_starts_at_the_last_dash() {
        let v = version("1:10.0.2+ds-2+deb13u1~bpo12+1");
        assert_eq!(
            (v.epoch(), v.upstream(), v.revision()),
            (1, "10.0.2+ds", "2+deb13u1~bpo12+1")
        );
        let v = version("3.2-rc1-4");
        assert_eq!((v.upstream(), v.revision()), ("3.2-rc1", "4"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            " ",
            ":1",
            "a:1",
            "1:",
            "-1",
            "1 2",
            "1_2",
            "1-2_3",
            "99999999999:1",
            "1/2",
            "é",
        ] {
            assert!(Version::parse(text).is_err(), "{text:?}");
        }
    }

    fn any_version() -> impl Strategy<Value = Version> {
        // Few characters, so that equal and nearly equal versions are common.
        "([01]:)?[01a~.+]{1,6}(-[01a~.+]{0,4})?".prop_map(|s| version(&s))
    }

    proptest! {
        #[test]
        fn the_order_is_antisymmetric(a in any_version(), b in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        }

        #[test]
        fn the_order_is_transitive(a in any_version(), b in any_version(), c in any_version()) {
            let mut three = [a, b, c];
            three.sort();
            prop_assert!(three[0] <= three[1] && three[1] <= three[2] && three[0] <= three[2]);
            if three[0] == three[2] {
                prop_assert!(three[0] == three[1] && three[1] == three[2]);
            }
        }

        #[test]
        fn a_tilde_comes_before_and_a_suffix_after(a in any_version(), suffix in "[1a.+]") {
            let (earlier, later) = (version(&format!("{a}~")), version(&format!("{a}{suffix}")));
            prop_assert!(earlier < a && a < later);
        }

        #[test]
        fn reading_what_was_written_gives_the_same(a in any_version()) {
            let again = version(&a.to_string());
            prop_assert_eq!(again.as_str(), a.as_str());
        }
    }
}
