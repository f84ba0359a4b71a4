// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks of a container, besides that of its image.

use serde::{Deserialize, Serialize};

use crate::rate::DiskRates;

/// A disk of the machine that a container is given.
///
/// Its bytes are those of the disk, whatever they are in the user's file. The container's disks have serial numbers of
/// their own, in the order of the request ([`disk_serial`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Its serial number in the machine: 1 to 20 lower-case letters, digits and hyphens.
    pub serial: String,
    /// Whether the container cannot write it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// How fast it may be.
    #[serde(default, skip_serializing_if = "DiskRates::is_empty")]
    pub rates: DiskRates,
}

/// Why a container cannot have these disks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// virtio-blk has 20 bytes for it.
    #[error(
        "the serial number of a disk, {0:?}, is not 1 to 20 lower-case letters, digits and hyphens"
    )]
    Serial(String),
    /// Each takes a device of the container.
    #[error("{0} disks; a container has at most {most}", most = Disk::MOST)]
    Many(usize),
    /// It would have two writers.
    #[error("the disk {0:?} twice")]
    Twice(String),
}

impl Disk {
    /// Disks that a container is given at most.
    pub const MOST: usize = 8;

    /// One that is as fast as it is.
    #[must_use]
    pub fn new(serial: impl Into<String>, read_only: bool) -> Self {
        Disk {
            serial: serial.into(),
            read_only,
            rates: DiskRates::default(),
        }
    }

    /// Whether a container can have all of these.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn check_all(disks: &[Self]) -> Result<(), DiskError> {
        if disks.len() > Self::MOST {
            return Err(DiskError::Many(disks.len()));
        }
        for (index, disk) in disks.iter().enumerate() {
            disk.check()?;
            if disks[..index]
                .iter()
                .any(|other| other.serial == disk.serial)
            {
                return Err(DiskError::Twice(disk.serial.clone()));
            }
        }
        Ok(())
    }

    /// Whether there can be such a disk.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn check(&self) -> Result<(), DiskError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=20).contains(&self.serial.len()) || !self.serial.bytes().all(plain) {
            return Err(DiskError::Serial(self.serial.clone()));
        }
        Ok(())
    }
}

/// What the serial numbers of users' disks begin with.
pub const DISK_SERIAL: &str = "cki-disk";

/// `serial=` of the virtio-blk device that carries the user's disk `number`, from 0.
#[must_use]
pub fn disk_serial(number: usize) -> String {
    format!("{DISK_SERIAL}{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(serial: &str) -> Disk {
        Disk::new(serial, false)
    }

    #[test]
    fn disks_have_serial_numbers_and_each_its_own() {
        let long = "d".repeat(20);
        for serial in [&disk_serial(0), "x", &long] {
            assert_eq!(disk(serial).check(), Ok(()));
        }
        let long = "d".repeat(21);
        for serial in ["", "a b", "Disk", "a/b", "a.b", "a\n", &long] {
            let error = DiskError::Serial(serial.to_owned());
            assert_eq!(Disk::check_all(&[disk(serial)]), Err(error));
        }
        let error = DiskError::Twice("a".to_owned());
        let disks = ["a", "b", "a"].map(disk);
        assert_eq!(Disk::check_all(&disks), Err(error));
        assert_eq!(Disk::check_all(&disks[..2]), Ok(()));
        let many: Vec<_> = (0..=Disk::MOST)
            .map(|number| disk(&disk_serial(number)))
            .collect();
        assert_eq!(Disk::check_all(&many[..8]), Ok(()));
        assert_eq!(Disk::check_all(&many), Err(DiskError::Many(9)));
    }
}
