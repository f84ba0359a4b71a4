// SPDX-License-Identifier: MIT OR Apache-2.0

//! How Nix is told of a checkout, wherever that lies.
//!
//! Nix 2.8 takes a git repository for a local one, whose changes it sees, only if the URL needs no `%`: it does not
//! decode the path first. And a flake without git is copied to the store with all that is in its directory. In both
//! cases what Nix is told of is a copy.

use std::path::Path;

use crate::cache::{Cache, Scratch};
use crate::checkout::{Checkout, CheckoutError};

/// Where a copy goes when Nix cannot be told of the cache either.
const ELSEWHERE: &str = "/tmp";

/// A flake as Nix is told of it. What it names is there until this is dropped.
#[derive(Debug)]
pub struct Flake {
    url: String,
    _copy: Option<Copy>,
}

#[derive(Debug)]
enum Copy {
    Cached(Scratch),
    Elsewhere(tempfile::TempDir),
}

impl Flake {
    /// That of `checkout`, or of a copy below `cache`.
    ///
    /// # Errors
    /// [`CheckoutError`], when it cannot be copied.
    pub fn of(checkout: &Checkout, cache: &Cache) -> Result<Self, CheckoutError> {
        if let Some(url) = url(checkout) {
            return Ok(Self { url, _copy: None });
        }
        let io = |path: &Path, source| CheckoutError::Io {
            path: path.to_owned(),
            source,
        };
        let copy = if url_path(cache.dir()).is_some() {
            Copy::Cached(cache.scratch()?)
        } else {
            let elsewhere = Path::new(ELSEWHERE);
            Copy::Elsewhere(tempfile::tempdir_in(elsewhere).map_err(|e| io(elsewhere, e))?)
        };
        let dir = match &copy {
            Copy::Cached(dir) => dir.path(),
            Copy::Elsewhere(dir) => dir.path(),
        };
        let copied = checkout.copy_to(dir)?;
        Ok(Self {
            url: url(&copied).ok_or_else(|| CheckoutError::NotOurs(dir.to_owned()))?,
            _copy: Some(copy),
        })
    }

    /// The reference, as `nix build` takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

/// The URL of a checkout that needs no copy.
///
/// `shallow=1` lets Nix take a repository whose history is cut; it changes nothing for others,
/// because no output depends on history.
fn url(checkout: &Checkout) -> Option<String> {
    let tree = checkout.git.as_ref()?;
    let mut url = format!("git+file://{}?shallow=1", url_path(&tree.top)?);
    if tree.prefix != Path::new("") {
        url.push_str("&dir=");
        // In a query, these would be separators.
        url.push_str(url_path(&tree.prefix).filter(|dir| !dir.contains(['&', '=', '+']))?);
    }
    Some(url)
}

/// `path`, if it means the same in a URL.
fn url_path(path: &Path) -> Option<&str> {
    // Sub-delimiters of RFC 3986, `:` and `@` stand in a path as they are.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    path.to_str().filter(|text| text.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::GitTree;

    fn checkout(top: &str, prefix: &str) -> Checkout {
        Checkout {
            dir: Path::new(top).join(prefix),
            git: Some(GitTree {
                top: top.into(),
                prefix: prefix.into(),
            }),
        }
    }

    #[test]
    fn a_path_that_a_url_takes_is_named_and_allows_shallow_clones() {
        assert_eq!(
            url(&checkout("/home/u/c++,a@b:=&'$;", "")).as_deref(),
            Some("git+file:///home/u/c++,a@b:=&'$;?shallow=1")
        );
        assert_eq!(
            url(&checkout("/srv", "src/cki")).as_deref(),
            Some("git+file:///srv?shallow=1&dir=src/cki")
        );
    }

    #[test]
    fn a_path_that_would_be_escaped_is_not_named() {
        for name in ["a b", "ü", "#", "%20", "?", "[", "\\", "\""] {
            assert_eq!(url(&checkout(&format!("/srv/{name}"), "")), None, "{name}");
            assert_eq!(url(&checkout("/srv", name)), None, "{name}");
        }
        for name in ["a&b", "a=b", "c++"] {
            assert_eq!(url(&checkout("/srv", name)), None, "{name}");
        }
    }

    #[test]
    fn a_copy_is_made_where_nix_finds_it_and_goes_afterwards() {
        let dir = tempfile::tempdir().expect("a directory");
        let from = dir.path().join("a b");
        std::fs::create_dir_all(from.join("cki-build")).expect("created");
        std::fs::write(from.join("flake.nix"), "{ }").expect("written");
        std::fs::write(from.join("cki-build/file"), "").expect("written");
        let checkout = Checkout::find(Some(&from)).expect("a checkout");
        for (cache, parent) in [
            (dir.path().join("cache"), dir.path()),
            (from, "/tmp".as_ref()),
        ] {
            let cache = Cache::open(Some(&cache)).expect("made");
            let flake = Flake::of(&checkout, &cache).expect("copied");
            let path = flake.as_str().strip_prefix("git+file://").expect("of git");
            let path = std::path::PathBuf::from(path.strip_suffix("?shallow=1").expect("shallow"));
            assert!(path.starts_with(parent), "{}", path.display());
            assert!(!path.to_string_lossy().contains(' '), "{}", path.display());
            assert!(path.join("flake.nix").exists());
            drop(flake);
            assert!(!path.exists());
        }
    }
}
