// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--publish`, which names a port or a range of them.

use std::str::FromStr;

use cki_session::Publish;

/// The ports that one `--publish` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOption(pub Vec<Publish>);

impl FromStr for PublishOption {
    type Err = String;

    /// As [`Publish::parse_all`].
    fn from_str(text: &str) -> Result<Self, String> {
        Publish::parse_all(text).map(Self)
    }
}
