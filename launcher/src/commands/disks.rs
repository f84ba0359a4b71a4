// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disks of a container besides that of its image: files of whoever started us, or those that the options name.

use std::os::fd::RawFd;

use anyhow::Context as _;
use cki_disk::DiskOption;
use cki_launcher::backend::disk;
use cki_launcher::inherited;
use cki_launcher::virtio::storage::Storage;
use cki_session::{Disk, disk_serial};

/// What a request says of the disks that the options name.
pub(super) fn wanted(options: &[DiskOption]) -> Vec<Disk> {
    let disk = |(number, option): (usize, &DiskOption)| Disk {
        rates: option.rates,
        ..Disk::new(disk_serial(number), option.is_read_only)
    };
    options.iter().enumerate().map(disk).collect()
}

/// Opens what a request has, in its order: `inherited` ones by their serial numbers, and for those of the options
/// the files, in the order of the options.
pub(super) fn open(
    disks: &[Disk],
    inherited: &[(String, RawFd)],
    options: &[DiskOption],
) -> anyhow::Result<Vec<Box<dyn Storage>>> {
    let open = |(index, wanted): (usize, &Disk)| {
        let named = inherited.iter().find(|(name, _)| *name == wanted.serial);
        match (named, options.get(index)) {
            (Some(&(_, number)), _) => {
                let file = match wanted.read_only {
                    true => inherited::readable(number),
                    false => inherited::both_ways(number),
                };
                let file = file.with_context(|| format!("the disk {}", wanted.serial))?;
                Ok(disk::take(file, wanted)?)
            }
            (None, Some(option)) => Ok(disk::open(option)?),
            (None, None) => anyhow::bail!("nobody has opened the disk {}", wanted.serial),
        }
    };
    disks.iter().enumerate().map(open).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_options_are_disks_of_the_request_and_give_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let option = |name: &str, sectors: usize, words: &str| -> DiskOption {
            let path = dir.path().join(name);
            std::fs::write(&path, vec![0; sectors * 512]).unwrap();
            format!("{}{words}", path.display()).parse().unwrap()
        };
        let options = [option("a", 1, ":write-iops=7"), option("b", 2, ":ro")];
        let disks = wanted(&options);
        assert_eq!(Disk::check_all(&disks), Ok(()));
        assert_eq!(disks[0].rates, options[0].rates);
        let opened = open(&disks, &[], &options).unwrap();
        let found: Vec<_> = opened
            .iter()
            .map(|disk| (disk.size(), disk.is_read_only()))
            .collect();
        assert_eq!(found, [(512, false), (1024, true)]);
    }

    #[test]
    fn inherited_disks_are_found_by_their_serial_numbers_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, [0; 512]).unwrap();
        let reading = File::open(&path).unwrap();
        let both = || File::options().read(true).write(true).open(&path).unwrap();
        let take = |disk: Disk, named: &str, file: &File| {
            let opened = open(&[disk], &[(named.to_owned(), file.as_raw_fd())], &[]);
            opened.map_err(|error| format!("{error:#}"))
        };
        // The lock is that of the open file: each has its own.
        for (read_only, file) in [
            (false, both()),
            (true, both()),
            (true, File::open(&path).unwrap()),
        ] {
            let opened = take(Disk::new("b", read_only), "b", &file).unwrap();
            assert_eq!(opened[0].is_read_only(), read_only);
        }
        let odd = tempfile::tempfile().unwrap();
        odd.set_len(513).unwrap();
        let (both, another) = (both(), both());
        let null = File::open("/dev/null").unwrap();
        for (disk, named, file, part) in [
            (
                Disk::new("b", false),
                "c",
                &both,
                "nobody has opened the disk b",
            ),
            (
                Disk::new("b", false),
                "b",
                &reading,
                "both reading and writing",
            ),
            (Disk::new("b", false), "b", &odd, "disk b: has 513 bytes"),
            (Disk::new("b", true), "b", &null, "disk b: is no file"),
        ] {
            let error = take(disk, named, file).err().unwrap();
            assert!(error.contains(part), "{part}: {error}");
        }
        // It has another writer.
        let _other = take(Disk::new("b", false), "b", &both).unwrap();
        let error = take(Disk::new("c", false), "c", &another).err().unwrap();
        assert!(error.contains("disk c: is in use"), "{error}");
    }
}
