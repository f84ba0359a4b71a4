// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which archives to download from.

use std::path::Path;
use std::sync::OnceLock;

use crate::apt_proxy::{self, Proxies};
use crate::fetch::download::Download;
use crate::fetch_error::FetchError;
use cki_debian::apt_sources::{self, AptSourcesError, Source};
use cki_debian::release::snapshot_stamp;

/// How the name of a suite of security updates ends, and by convention the URL of an archive of such.
pub const SECURITY: &str = "-security";

/// The archives of this machine, or the one that the user names.
#[derive(Debug, Clone)]
pub struct Mirrors {
    named: Option<String>,
    /// One that has everything that is pinned, when the others no longer do.
    second: Option<String>,
    sources: Vec<Source>,
    proxies: OnceLock<Proxies>,
}

/// A suite as it was when a file of it was pinned.
#[derive(Debug, Clone, Copy)]
pub struct Suite<'a> {
    /// Its name.
    pub name: &'a str,
    /// Component that the file is in.
    pub component: &'a str,
    /// Date of its release file, as written there.
    pub date: &'a str,
}

impl Mirrors {
    /// Those that apt is configured for in `directory` (`/etc/apt`).
    ///
    /// # Errors
    /// See [`AptSourcesError`].
    pub fn from_apt(directory: &Path) -> Result<Self, AptSourcesError> {
        Ok(Self {
            named: None,
            second: None,
            sources: apt_sources::read_directory(directory)?,
            proxies: OnceLock::new(),
        })
    }

    /// One for everything: the URL below which `dists/` and `pool/` are.
    ///
    /// # Errors
    /// [`FetchError::BadMirror`] unless it is an http, https or file URL.
    pub fn named(url: &str) -> Result<Self, FetchError> {
        Ok(Self {
            named: Some(base(url)?),
            second: None,
            sources: Vec::new(),
            proxies: OnceLock::new(),
        })
    }

    /// Also asks for what is pinned at `url`, after all others: a directory that [`crate::own_mirror`] has filled.
    ///
    /// # Errors
    /// [`FetchError::BadMirror`] unless it is an http, https or file URL.
    pub fn with_second(self, url: &str) -> Result<Self, FetchError> {
        let second = Some(base(url)?);
        Ok(Self { second, ..self })
    }

    /// The URL of the file at `path` on the second mirror, if there is one.
    #[must_use]
    pub fn in_second(&self, path: &str) -> Option<String> {
        self.second
            .as_ref()
            .map(|second| format!("{second}/{path}"))
    }

    /// The proxies that apt uses, which is asked the first time; a named mirror is reached in the same way.
    #[must_use]
    pub fn proxies(&self) -> &Proxies {
        self.proxies.get_or_init(apt_proxy::configured)
    }

    /// Base URLs for a component of a suite, best first. Security updates are in an archive of their own, which mirrors
    /// have beside the other: where none is configured for them, `URL-security` is one more place to look.
    ///
    /// # Errors
    /// [`FetchError::NoMirror`] if there is none.
    pub fn bases(&self, suite: &str, component: &str) -> Result<Vec<String>, FetchError> {
        let beside = |urls: Vec<String>| -> Vec<String> {
            if !suite.ends_with(SECURITY) {
                return urls;
            }
            let more: Vec<String> = urls
                .iter()
                .filter(|url| has_path(url) && !url.ends_with(SECURITY))
                .map(|url| format!("{url}{SECURITY}"))
                .collect();
            urls.into_iter().chain(more).collect()
        };
        if let Some(url) = &self.named {
            return Ok(beside(vec![url.clone()]));
        }
        let archives = apt_sources::archives_for(&self.sources, suite, component);
        let found: Vec<String> = archives.iter().map(|s| s.uri.clone()).collect();
        let configured = archives.iter().any(|s| s.suite == suite);
        let found = if configured { found } else { beside(found) };
        if found.is_empty() {
            Err(FetchError::NoMirror(format!("{suite} {component}")))
        } else {
            Ok(found)
        }
    }

    /// How to download a pinned file: `name` is for messages, `path` is below a mirror's base URI.
    ///
    /// Without a mirror for the suite there are no URLs, which is an error only when the file has to be downloaded.
    #[must_use]
    pub fn download(
        &self,
        suite: Suite<'_>,
        name: &str,
        path: &str,
        sha256: &str,
        size: u64,
    ) -> Download {
        let bases = self.bases(suite.name, suite.component).unwrap_or_default();
        let urls = bases.iter().map(|base| format!("{base}/{path}"));
        Download {
            name: name.to_owned(),
            urls: urls.chain(self.in_second(path)).collect(),
            sha256: sha256.to_owned(),
            size,
            snapshot: snapshot_stamp(suite.date),
        }
    }
}

/// Whether a URL names more than a server.
fn has_path(url: &str) -> bool {
    url.split_once("://")
        .is_none_or(|(_, rest)| rest.contains('/'))
}

/// `url` as what paths are put behind.
fn base(url: &str) -> Result<String, FetchError> {
    let known = ["http://", "https://", "file:/"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    if !known || url.contains(char::is_whitespace) {
        return Err(FetchError::BadMirror(url.into()));
    }
    Ok(url.trim_end_matches('/').into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_mirror_serves_every_suite() {
        let mirrors = Mirrors::named("https://mirror.example.org/debian/").unwrap();
        for suite in ["bookworm", "bookworm-backports"] {
            assert_eq!(
                mirrors.bases(suite, "main").unwrap(),
                ["https://mirror.example.org/debian"]
            );
        }
    }

    #[test]
    fn security_updates_are_looked_for_beside_the_archive() {
        let named = Mirrors::named("https://mirror.example.org/debian/").unwrap();
        let both = [
            "https://mirror.example.org/debian",
            "https://mirror.example.org/debian-security",
        ];
        assert_eq!(named.bases("bookworm-security", "main").unwrap(), both);
        let apt = tempfile::tempdir().unwrap();
        let line = "deb https://mirror.example.org/debian bookworm main\n";
        let list = apt.path().join("sources.list");
        std::fs::write(&list, line).unwrap();
        let bases = || {
            let mirrors = Mirrors::from_apt(apt.path()).unwrap();
            mirrors.bases("bookworm-security", "main").unwrap()
        };
        assert_eq!(bases(), both);
        let security = "deb https://security.example.org/ bookworm-security main\n";
        std::fs::write(&list, [line, security].concat()).unwrap();
        assert_eq!(bases(), ["https://security.example.org"]);
    }

    #[test]
    fn what_is_no_url_of_a_mirror_is_refused() {
        for url in [
            "mirror.example.org",
            "ftp://mirror.example.org/debian",
            "/srv/mirror",
            "http://a b",
            "",
        ] {
            let error = Mirrors::named(url).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("it must be an http:, https: or file: URL"),
                "{error}"
            );
        }
    }

    #[test]
    fn without_a_debian_archive_the_message_says_how_to_name_one() {
        let empty = tempfile::tempdir().unwrap();
        let error = Mirrors::from_apt(empty.path())
            .unwrap()
            .bases("bookworm", "main")
            .unwrap_err();
        assert!(matches!(error, FetchError::NoMirror(_)));
        assert!(error.to_string().contains("--mirror URL"), "{error}");
    }
}
