// SPDX-License-Identifier: MIT OR Apache-2.0

//! What containers are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name under which a container is found. It is the name of a directory, too, and leads out of none.
///
/// Text and JSON have the same form: `web`, `db-1.test`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContainerName(String);

/// A text that is no name of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a container's name is 1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit first")]
pub struct ContainerNameError;

impl ContainerName {
    /// All names, as a regular expression (ECMA-262 and POSIX extended): what others compare with who do not ask this
    /// type.
    pub const PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
    /// The most bytes, as the pattern has it.
    const LONGEST: usize = 64;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = ContainerNameError;

    fn from_str(text: &str) -> Result<Self, ContainerNameError> {
        text.to_owned().try_into()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

impl TryFrom<String> for ContainerName {
    type Error = ContainerNameError;

    fn try_from(text: String) -> Result<Self, ContainerNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || text.len() > Self::LONGEST || !text.chars().all(plain) {
            return Err(ContainerNameError);
        }
        Ok(ContainerName(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_out_of_no_directory() {
        let long = "a".repeat(65);
        for text in [
            "", ".", "..", "../a", "a/b", "-a", "_a", "a b", "a\n", "a\0", "\u{e9}", &long,
        ] {
            let name = text.parse::<ContainerName>();
            assert_eq!(name, Err(ContainerNameError), "{text:?}");
            let json = serde_json::to_string(text).unwrap();
            let error = serde_json::from_str::<ContainerName>(&json).unwrap_err();
            assert!(error.to_string().contains("1 to 64 letters"), "{error}");
        }
    }

    #[test]
    fn a_name_is_the_same_as_text_and_in_json() {
        for text in ["a", "7", "db-1.test_x", &long_name()] {
            let name: ContainerName = text.parse().unwrap();
            assert_eq!((name.as_str(), name.to_string()), (text, text.to_owned()));
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<ContainerName>(&json).unwrap(), name);
        }
    }

    fn long_name() -> String {
        "a".repeat(ContainerName::LONGEST)
    }

    #[test]
    fn the_pattern_has_the_same_limit() {
        let most = format!("{{0,{}}}$", ContainerName::LONGEST - 1);
        assert!(ContainerName::PATTERN.ends_with(&most));
    }
}
