// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program runs in, as the command line says it: packages, a file, an image of another container engine, or a
//! path of the Nix store.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use cki_debian::name::parse_package;

/// The packages of an image.
#[derive(Debug, Clone, Default, Args)]
pub struct Packages {
    /// Debian package to install in the image, with its dependencies; may be repeated. PKG/SUITE for one that comes
    /// from another pinned suite than usual, such as bookworm-backports
    #[arg(long, value_name = "PKG", value_parser = parse_package)]
    pub deb: Vec<String>,
    /// Take the versions that lock.json pins, without security updates
    #[arg(long, env = "CKI_PINNED", value_parser = FalseyValueParser::new())]
    pub pinned: bool,
    /// Take exactly the packages that this file names. When it is not there, it is written with those of today
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// Fail when the file of --lock is not there
    #[arg(long, requires = "lock")]
    pub locked: bool,
}

impl Packages {
    /// The packages `names` as they are pinned, for what should come out the same every day.
    #[must_use]
    pub fn pinned(names: &[&str]) -> Self {
        Self {
            deb: names.iter().map(ToString::to_string).collect(),
            pinned: true,
            ..Self::default()
        }
    }
}

/// What a program runs in; a minimal Debian when nothing is said.
#[derive(Debug, Clone, Default, Args)]
pub struct Contents {
    /// Packages of Debian.
    #[command(flatten)]
    pub packages: Packages,
    /// Run in the image that `cki-build image app` has written to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["deb", "lock"])]
    pub image: Option<PathBuf>,
    /// Run in this image of a container: an archive or directory of podman, docker, buildah or skopeo. What it says of
    /// its program is the default for all that is not said here
    #[arg(long, value_name = "PATH", conflicts_with_all = ["deb", "lock", "image"])]
    pub oci: Option<PathBuf>,
    /// Run in a root file system of this path of the Nix store and all that it needs; a link to one will do, such as
    /// `result`. Its programs are in /bin
    #[arg(long, value_name = "STOREPATH", conflicts_with_all = ["deb", "lock", "image", "oci"])]
    pub closure: Option<PathBuf>,
}

impl Contents {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        let Self {
            packages: Packages { deb, lock, .. },
            image,
            oci,
            closure,
        } = self;
        deb.is_empty() && lock.is_none() && image.is_none() && oci.is_none() && closure.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_minimal_when_nothing_is_said() {
        assert!(Contents::default().is_minimal());
        let packages = [
            Packages {
                deb: vec!["a".to_owned()],
                ..Packages::default()
            },
            Packages {
                lock: Some("image.lock".into()),
                ..Packages::default()
            },
        ];
        for packages in packages {
            assert!(
                !Contents {
                    packages,
                    ..Contents::default()
                }
                .is_minimal()
            );
        }
        let closure = Some("/nix/store/x".into());
        assert!(
            !Contents {
                closure,
                ..Contents::default()
            }
            .is_minimal()
        );
    }
}
