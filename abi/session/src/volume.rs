// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories of the user's that a program finds in its file system.

use serde::{Deserialize, Serialize};

use crate::image_path::ImagePath;

/// A directory that somebody serves by FUSE messages, and where it is mounted.
///
/// Its name is said on each hop: a machine has a virtio-serial port with it ([`Volume::port`]), a container
/// a virtio-fs device (the tag).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Lower-case letters and digits, 1 to 31 of them.
    pub name: String,
    /// Where the program finds it: an absolute path other than `/`, without `..`.
    pub path: String,
    /// Whether nothing in it can be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// Why a volume cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeError {
    /// Virtio's tags have 36 bytes, ports' names fewer.
    #[error("the name of a volume, {0:?}, is not 1 to 31 lower-case letters and digits")]
    Name(String),
    /// Each takes a port of the machine and a device of the container.
    #[error("{0} volumes; a program has at most {most}", most = Volume::MOST)]
    Many(usize),
    /// Which of them it is would not be clear.
    #[error("two volumes at {0:?}")]
    Twice(String),
    /// Nor whose it is.
    #[error("two volumes with the name {0:?}")]
    TwiceNamed(String),
    /// No path of a mount.
    #[error("a volume at {0:?}: expected an absolute path in the image other than /, without ..")]
    Path(String),
}

impl Volume {
    /// Volumes that a program has at most.
    pub const MOST: usize = 16;

    /// Whether all of these can be mounted for one program.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn check_all(volumes: &[Self]) -> Result<(), VolumeError> {
        if volumes.len() > Self::MOST {
            return Err(VolumeError::Many(volumes.len()));
        }
        for (index, volume) in volumes.iter().enumerate() {
            volume.check()?;
            let place = volume.place()?;
            let before = &volumes[..index];
            let is_same = |other: &Self| {
                let other = other.place();
                other.is_ok_and(|other| other.names().eq(place.names()))
            };
            if before.iter().any(is_same) {
                return Err(VolumeError::Twice(volume.path.clone()));
            }
            if before.iter().any(|other| other.name == volume.name) {
                return Err(VolumeError::TwiceNamed(volume.name.clone()));
            }
        }
        Ok(())
    }

    /// The name of the port that a machine finds it behind.
    #[must_use]
    pub fn port(&self) -> String {
        format!("org.cki.volume.{}", self.name)
    }

    /// Whether it can be mounted.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub fn check(&self) -> Result<(), VolumeError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(1..=31).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Err(VolumeError::Name(self.name.clone()));
        }
        self.place().map(drop)
    }

    /// Where it is mounted.
    fn place(&self) -> Result<ImagePath<'_>, VolumeError> {
        ImagePath::mount_point(&self.path).map_err(|_| VolumeError::Path(self.path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, path: &str) -> Volume {
        Volume {
            name: name.to_owned(),
            path: path.to_owned(),
            read_only: false,
        }
    }

    #[test]
    fn volumes_have_names_and_places() {
        let long = "v".repeat(31);
        for (name, path) in [("volume0", "/data"), (&long, "/a/b/"), ("v", "/..a/.b")] {
            assert_eq!(volume(name, path).check(), Ok(()), "{name} {path}");
        }
        assert_eq!(volume("v1", "/data").port(), "org.cki.volume.v1");
        for path in ["", "data", "/", "//", "/.", "/a/../b", "/..", "/a\0"] {
            let error = volume("v", path).check().unwrap_err();
            assert_eq!(error, VolumeError::Path(path.to_owned()));
        }
        let long = "v".repeat(32);
        for name in ["", "V", "a b", "a.b", "a/b", &long] {
            let error = volume(name, "/data").check().unwrap_err();
            assert_eq!(error, VolumeError::Name(name.to_owned()));
        }
    }
    #[test]
    fn volumes_of_one_program_are_told_apart() {
        let mut volumes = vec![volume("a", "/a"), volume("b", "/b"), volume("c", "/a/b")];
        assert_eq!(Volume::check_all(&volumes), Ok(()));
        for (name, path, told) in [
            ("d", "/a", "two volumes at \"/a\""),
            ("d", "//a/./", "two volumes at \"//a/./\""),
            ("a", "/d", "two volumes with the name \"a\""),
        ] {
            volumes.push(volume(name, path));
            let error = Volume::check_all(&volumes).expect_err("two of a kind");
            assert_eq!(error.to_string(), told);
            volumes.pop();
        }
        volumes.push(volume("d", "/.."));
        let error = VolumeError::Path("/..".to_owned());
        assert_eq!(Volume::check_all(&volumes), Err(error));
        let name = |index| volume(&format!("v{index}"), &format!("/v{index}"));
        let many: Vec<_> = (0..=Volume::MOST).map(name).collect();
        assert_eq!(Volume::check_all(&many[..16]), Ok(()));
        assert_eq!(Volume::check_all(&many), Err(VolumeError::Many(17)));
    }
}
