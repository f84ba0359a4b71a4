// SPDX-License-Identifier: MIT OR Apache-2.0

//! A variable, as options and files name it: with its value, or as the one that we have.

use std::ffi::OsString;
use std::str::FromStr;

use cki_session::values::parse_variable;

/// `NAME=VALUE`, or `NAME` alone, which is the variable of ours, as with other container engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, if it does not have the one that it has with us.
    pub value: Option<String>,
}

/// Ours has a value that no request can carry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of the variable {0} is not UTF-8")]
pub struct NotText(pub String);

impl Variable {
    /// The variable with its value; `ours` gives those that name none. Nothing if we have none of that name.
    ///
    /// # Errors
    /// [`NotText`].
    pub(crate) fn resolve(
        &self,
        ours: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<(String, String)>, NotText> {
        let not_text = |_| NotText(self.name.clone());
        let value = match &self.value {
            Some(value) => Some(value.clone()),
            None => ours(&self.name)
                .map(OsString::into_string)
                .transpose()
                .map_err(not_text)?,
        };
        Ok(value.map(|value| (self.name.clone(), value)))
    }
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |text: &str| {
            !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "=\0".contains(c))
        };
        if is_name(text) {
            let (name, value) = (text.to_owned(), None);
            return Ok(Self { name, value });
        }
        let (name, value) = parse_variable(text)
            .map_err(|_| "expected NAME=VALUE, or the NAME of a variable of yours".to_owned())?;
        let value = Some(value);
        Ok(Self { name, value })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn resolve(text: &str) -> Result<Option<(String, String)>, NotText> {
        text.parse::<Variable>()
            .unwrap()
            .resolve(|name| match name {
                "HOME" => Some("/home/u".into()),
                "EMPTY" => Some(OsString::new()),
                "BYTES" => Some(OsString::from_vec(vec![0xff])),
                _ => None,
            })
    }

    #[test]
    fn a_name_alone_is_the_variable_of_ours() {
        let found = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
        assert_eq!(resolve("HOME"), found("HOME", "/home/u"));
        assert_eq!(resolve("HOME=/"), found("HOME", "/"));
        assert_eq!(resolve("HOME="), found("HOME", ""));
        assert_eq!(resolve("EMPTY"), found("EMPTY", ""));
        assert_eq!(resolve("NONE"), Ok(None));
        assert_eq!(resolve("BYTES"), Err(NotText("BYTES".to_owned())));
        assert_eq!(resolve("BYTES=1"), found("BYTES", "1"));
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in ["", "=", "=x", "A B", "A\0", " "] {
            let error = text.parse::<Variable>().unwrap_err();
            assert!(error.contains("NAME=VALUE"), "{text:?}: {error}");
        }
    }
}
