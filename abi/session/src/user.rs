// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whom a process runs as.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A user, by name or number, and a group if it is not the user's own. They are looked up in the image.
///
/// Text and JSON have the same form: `postgres`, `1000:1000`, `www-data:adm`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct User {
    user: String,
    group: Option<String>,
}

impl User {
    /// Name or number of the user; never empty.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Name or number of the group, if one was named; never empty.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.user)?;
        match &self.group {
            Some(group) => write!(formatter, ":{group}"),
            None => Ok(()),
        }
    }
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "expected UID[:GID] or NAME[:GROUP]".to_owned();
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        // What separates the fields and lines of passwd(5) is in no name.
        let is_name = |name: &str| !name.is_empty() && !name.contains([':', '\n', '\0']);
        if !is_name(user) || !group.is_none_or(is_name) {
            return Err(form());
        }
        Ok(User {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

impl From<User> for String {
    fn from(user: User) -> Self {
        user.to_string()
    }
}

impl TryFrom<String> for User {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
