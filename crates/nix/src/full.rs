// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which file system is full: builds are made in the cache, and what comes out is in the store.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Free bytes from which on a file system is not taken for the one that had no room.
const ROOM: u64 = 1 << 30;

/// The file system that had no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FullDisk {
    /// It cannot be told: a daemon may build elsewhere.
    Unknown,
    /// That of the store.
    Store(PathBuf),
    /// That of the cache, where builds are made.
    Cache(PathBuf),
}

impl fmt::Display for FullDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "the disk is full; free some space (nix-store --gc removes what no result needs)",
            ),
            Self::Store(dir) => write!(
                f,
                "the disk of the Nix store {} is full; free some space there (nix-store --gc removes what no result \
                 needs)",
                dir.display()
            ),
            Self::Cache(dir) => write!(
                f,
                "the disk of the cache {} is full, where builds are made; free some space there (`cki-build prune`), \
                 or name another directory with --cache DIR or CKI_CACHE",
                dir.display()
            ),
        }
    }
}

/// What is free on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    device: u64,
    bytes: u64,
    /// No file can be made any more.
    no_files: bool,
}

impl Free {
    fn at(path: &Path) -> Option<Self> {
        let device = path.metadata().ok()?.dev();
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            device,
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            // Some file systems do not count them at all.
            no_files: stat.f_files > 0 && stat.f_favail == 0,
        })
    }

    const fn is_short(self) -> bool {
        self.no_files || self.bytes < ROOM
    }
}

/// Which of both is full now. To be asked as soon as that is said: Nix removes what a failed build has left.
pub(crate) fn which(store: &Path, cache: &Path) -> FullDisk {
    match (Free::at(store), Free::at(cache)) {
        (Some(of_store), Some(of_cache)) => judge((store, of_store), (cache, of_cache)),
        _ => FullDisk::Unknown,
    }
}

fn judge((store, of_store): (&Path, Free), (cache, of_cache): (&Path, Free)) -> FullDisk {
    // Of one file system, the store has the most.
    if of_store.device == of_cache.device {
        return FullDisk::Store(store.to_owned());
    }
    // Without place for a file there is none at all, whatever is free.
    let room = |free: Free| if free.no_files { 0 } else { free.bytes };
    match room(of_cache) < room(of_store) {
        true if of_cache.is_short() => FullDisk::Cache(cache.to_owned()),
        false if of_store.is_short() => FullDisk::Store(store.to_owned()),
        _ => FullDisk::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(store: Free, cache: Free) -> FullDisk {
        judge((Path::new("/nix/store"), store), (Path::new("/c"), cache))
    }

    fn free(device: u64, bytes: u64) -> Free {
        Free {
            device,
            bytes,
            no_files: false,
        }
    }

    #[test]
    fn the_file_system_that_is_full_is_named_with_what_frees_it() {
        let cache = judged(free(1, 90 << 30), free(2, 0)).to_string();
        for part in ["the cache /c is full", "cki-build prune", "--cache DIR"] {
            assert!(cache.contains(part), "{part}: {cache}");
        }
        assert!(!cache.contains("--gc"), "{cache}");
        let store = judged(free(1, 4096), free(2, 90 << 30)).to_string();
        for part in ["the Nix store /nix/store is full", "nix-store --gc"] {
            assert!(store.contains(part), "{part}: {store}");
        }
        // One that has no place for another file is as full.
        let no_files = Free {
            no_files: true,
            ..free(2, 80 << 30)
        };
        let cache = judged(free(1, 4096 << 10), no_files);
        assert_eq!(cache, FullDisk::Cache("/c".into()));
    }

    #[test]
    fn where_both_have_room_no_disk_is_accused() {
        assert_eq!(
            judged(free(1, 9 << 30), free(2, 5 << 30)),
            FullDisk::Unknown
        );
        assert_eq!(
            which(Path::new("/none"), Path::new("/none")),
            FullDisk::Unknown
        );
    }

    #[test]
    fn one_file_system_for_both_is_the_stores() {
        let both = judged(free(1, 0), free(1, 0));
        assert_eq!(both, FullDisk::Store("/nix/store".into()));
    }
}
