// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of packages as people type them.

use super::dependency::is_package_name;

/// Reads what is asked for: a binary package, and maybe the suite that it is to come from (`hello/bookworm-backports`).
/// A version and an architecture, as apt takes them behind the name, are refused with the reason: there is one version
/// of each package in a pinned suite, and one architecture.
///
/// # Errors
/// A sentence for the user.
pub fn parse_package(text: &str) -> Result<String, String> {
    if is_asked_for(text) {
        return Ok(text.to_owned());
    }
    match text.split_once(['=', ':', '/']) {
        Some((name, rest)) if is_package_name(name) => {
            let why = match text.as_bytes()[name.len()] {
                b'=' => "no version can be asked for: there is one, that of the pinned archive",
                b':' => "no architecture can be asked for: there is one, amd64",
                _ => "that is no suite's name",
            };
            Err(format!("{why}; say {name}, without {rest:?}"))
        }
        _ => Err(
            "expected the name of a Debian package: lower-case letters, digits, '+', '-' and '.'"
                .to_owned(),
        ),
    }
}

/// Whether this is what [`parse_package`] takes.
#[must_use]
pub fn is_asked_for(text: &str) -> bool {
    let (name, suite) = name_and_suite(text);
    let is_suite = |suite: &str| {
        suite.starts_with(|c: char| c.is_ascii_lowercase())
            && suite
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    is_package_name(name) && suite.is_none_or(is_suite)
}

/// The package of what is asked for, and the suite, if one is named.
#[must_use]
pub fn name_and_suite(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((name, suite)) => (name, Some(suite)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_taken() {
        for name in ["hello", "g++", "libc6", "python3.11", "0ad"] {
            assert_eq!(parse_package(name).as_deref(), Ok(name));
        }
    }

    #[test]
    fn a_suite_may_stand_behind_the_name() {
        let text = "hello/bookworm-backports";
        assert_eq!(parse_package(text).as_deref(), Ok(text));
        assert_eq!(name_and_suite(text), ("hello", Some("bookworm-backports")));
        assert_eq!(name_and_suite("hello"), ("hello", None));
    }

    #[test]
    fn what_apt_takes_behind_a_name_is_refused_with_the_reason() {
        for (text, why) in [
            ("hello=2.10-3", "no version can be asked for"),
            ("hello:amd64", "no architecture can be asked for"),
            ("hello/Stable", "that is no suite's name"),
            ("hello/", "that is no suite's name"),
            ("hello/a/b", "that is no suite's name"),
        ] {
            let said = parse_package(text).expect_err("refused");
            assert!(said.contains(why), "{said}");
            assert!(said.contains("say hello, "), "{said}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "Hello", "a b", "-x", "=1", "hello, world", "häuser"] {
            let said = parse_package(text).expect_err("refused");
            assert!(said.contains("expected the name"), "{said}");
        }
    }
}
