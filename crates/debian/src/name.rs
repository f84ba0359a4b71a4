// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of packages as people type them.

use super::dependency::is_package_name;

/// Reads the name of a binary package. A version and an architecture, as apt takes them behind it, are refused with
/// the reason: there is one version of each package, the pinned archive's, and one architecture.
///
/// # Errors
/// A sentence for the user.
pub fn parse_package(text: &str) -> Result<String, String> {
    if is_package_name(text) {
        return Ok(text.to_owned());
    }
    match text.split_once(['=', ':', '/']) {
        Some((name, rest)) if is_package_name(name) => {
            let why = match text.as_bytes()[name.len()] {
                b'=' => "no version can be asked for: there is one, that of the pinned archive",
                b':' => "no architecture can be asked for: there is one, amd64",
                _ => "no suite can be asked for: they are those of the pinned archive",
            };
            Err(format!("{why}; say {name}, without {rest:?}"))
        }
        _ => Err(
            "expected the name of a Debian package: lower-case letters, digits, '+', '-' and '.'"
                .to_owned(),
        ),
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
    fn what_apt_takes_behind_a_name_is_refused_with_the_reason() {
        for (text, why) in [
            ("hello=2.10-3", "no version can be asked for"),
            ("hello:amd64", "no architecture can be asked for"),
            ("hello/stable", "no suite can be asked for"),
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
