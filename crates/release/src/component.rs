// SPDX-License-Identifier: MIT OR Apache-2.0

//! One thing that a release consists of or is made from.

use std::fmt::Write as _;

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Its source code is compiled into the outputs: crates, and the programs that are built from their upstream's
    /// code.
    Source,
    /// It is in the build root: a compiler, a library's headers, a tool. Parts of it may end up in what is linked with
    /// it.
    Tool,
}

/// A component, as its pin names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// What it is for.
    pub role: Role,
    /// Name in its ecosystem.
    pub name: String,
    /// Version in its ecosystem.
    pub version: String,
    /// Package URL (ECMA-427).
    pub purl: String,
    /// The file that is pinned.
    pub file: String,
    /// SHA-256 of that file, lower-case hexadecimal.
    pub sha256: String,
    /// Its licence as an SPDX expression; none when the package itself states none in that form.
    pub licence: Option<String>,
}

impl Component {
    /// A crate of a registry.
    #[must_use]
    pub fn of_crate(name: &str, version: &str, sha256: &str, licence: Option<String>) -> Self {
        Self {
            role: Role::Source,
            name: name.into(),
            version: version.into(),
            purl: format!("pkg:cargo/{}@{}", escaped(name), escaped(version)),
            file: format!("{name}-{version}.crate"),
            sha256: sha256.into(),
            licence,
        }
    }

    /// A file of Debian's archive: `arch` is the package's, or `source`.
    #[must_use]
    pub fn of_debian(
        role: Role,
        (name, version): (&str, &str),
        arch: &str,
        suite: &str,
        file: &str,
        sha256: &str,
    ) -> Self {
        Self {
            role,
            name: name.into(),
            version: version.into(),
            purl: format!(
                "pkg:deb/debian/{}@{}?arch={arch}&distro={}",
                escaped(name),
                escaped(version),
                escaped(suite)
            ),
            file: file.into(),
            sha256: sha256.into(),
            // Debian's packages describe licences in a file of their own, by names that are not SPDX's.
            licence: None,
        }
    }
}

/// A part of a package URL: all but letters, digits and `-._~` is percent-encoded.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_those_of_their_ecosystems() {
        let of_crate = Component::of_crate("gimli", "0.31.1+x", "00", Some("MIT".into()));
        assert_eq!(of_crate.purl, "pkg:cargo/gimli@0.31.1%2Bx");
        let of_debian = Component::of_debian(
            Role::Tool,
            ("g++-12", "4:12.2.0-14~bpo+1"),
            "amd64",
            "bookworm",
            "g++.deb",
            "00",
        );
        assert_eq!(
            of_debian.purl,
            "pkg:deb/debian/g%2B%2B-12@4%3A12.2.0-14~bpo%2B1?arch=amd64&distro=bookworm"
        );
    }
}
