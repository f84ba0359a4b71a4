// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program runs in, as the command line says it: packages, a file, an image of another container engine, or a
//! path of the Nix store.

use std::path::PathBuf;

use clap::Args;

use cki_debian::name::parse_package;

/// What a program runs in; a minimal Debian when nothing is said.
#[derive(Debug, Clone, Default, Args)]
pub struct Contents {
    /// Debian package to install in the image, with its dependencies; may be repeated
    #[arg(long, value_name = "PKG", value_parser = parse_package)]
    pub deb: Vec<String>,
    /// Run in the image that `cki-build image app` has written to this file
    #[arg(long, value_name = "FILE", conflicts_with = "deb")]
    pub image: Option<PathBuf>,
    /// Run in this image of a container: an archive or directory of podman, docker, buildah or skopeo. What it says of
    /// its program is the default for all that is not said here
    #[arg(long, value_name = "PATH", conflicts_with_all = ["deb", "image"])]
    pub oci: Option<PathBuf>,
    /// Run in a root file system of this path of the Nix store and all that it needs; a link to one will do, such as
    /// `result`. Its programs are in /bin
    #[arg(long, value_name = "STOREPATH", conflicts_with_all = ["deb", "image", "oci"])]
    pub closure: Option<PathBuf>,
}

impl Contents {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        let Self {
            deb,
            image,
            oci,
            closure,
        } = self;
        deb.is_empty() && image.is_none() && oci.is_none() && closure.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_minimal_when_nothing_is_said() {
        assert!(Contents::default().is_minimal());
        let deb = vec!["a".to_owned()];
        assert!(
            !Contents {
                deb,
                ..Contents::default()
            }
            .is_minimal()
        );
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
