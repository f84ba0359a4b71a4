// SPDX-License-Identifier: MIT OR Apache-2.0

//! Images that nobody has used for long: which there are, which of them go, and freeing what they took.
//!
//! Only what `run` and `image app` have put there is looked at: links below the cache's `roots` with the prefix of
//! layers, and the layers of other engines' images and of store paths. The links that keep the build's own outputs are
//! not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::app::layer_files;
use crate::layers::{ROOT_PREFIX, disks};

/// An image is only looked at after this time, so that one whose machine is about to start is not taken from it.
const STARTING: Duration = Duration::from_secs(60);

/// What an image is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Debian packages: a path of the Nix store, and the link that keeps it.
    Packages,
    /// A layer of another engine's image: a file of the cache.
    Layer,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The link or file.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// What it takes on the disk, in bytes.
    pub size: u64,
    /// Seconds since it was last used.
    pub unused: u64,
    /// Whether a program has it open, such as the emulator of a machine that runs.
    pub in_use: bool,
    /// The path of the store that the link keeps.
    #[serde(skip)]
    pub target: Option<PathBuf>,
}

impl Item {
    /// Whether the layer stays whatever the limits are.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        self.in_use || self.unused < STARTING.as_secs()
    }
}

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Those that have not been used for this long.
    pub age: Duration,
    /// Of the others, those that were used longest ago, until what is left takes no more than this, in bytes.
    pub size: Option<u64>,
}

/// All images of the cache, the one that was used longest ago first. `open` are the files that programs have open.
///
/// # Errors
/// Those of reading the cache.
pub fn items(cache: &Path, now: SystemTime, open: &BTreeSet<PathBuf>) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    for path in entries(&cache.join("roots"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(ROOT_PREFIX) {
            continue;
        }
        // What is no link is not ours.
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        items.push(Item {
            size: size(&target),
            unused: unused(&path, now)?,
            in_use: open.iter().any(|file| file.starts_with(&target)),
            kind: Kind::Packages,
            target: Some(target),
            path,
        });
    }
    for path in entries(&layer_files(cache))? {
        items.push(Item {
            size: size(&path),
            unused: unused(&path, now)?,
            in_use: open.contains(&path),
            kind: Kind::Layer,
            target: None,
            path,
        });
    }
    items.sort_by(|a, b| (b.unused, &a.path).cmp(&(a.unused, &b.path)));
    Ok(items)
}

/// Parts `items`, which are in the order of [`items`], in those that go and those that stay.
#[must_use]
pub fn choose(items: Vec<Item>, limits: Limits) -> (Vec<Item>, Vec<Item>) {
    let mut left: u64 = items.iter().map(|item| item.size).sum();
    items.into_iter().partition(|item| {
        let age = Duration::from_secs(item.unused);
        let wanted = age >= limits.age || limits.size.is_some_and(|size| left > size);
        let goes = wanted && !item.is_needed();
        if goes {
            left -= item.size;
        }
        goes
    })
}

/// Removes the link or file of an item, and descriptors of disks that name what is no longer there. Returns whether
/// that was done: one that has been used since it was looked at stays.
///
/// # Errors
/// Those of removing.
pub fn remove(cache: &Path, item: &Item, now: SystemTime) -> io::Result<bool> {
    if unused(&item.path, now)? < item.unused {
        return Ok(false);
    }
    fs::remove_file(&item.path)?;
    for descriptor in entries(&disks(cache))? {
        if descriptor.extension().is_none_or(|end| end != "vmdk") {
            continue;
        }
        let kept = item.target.as_ref().unwrap_or(&item.path);
        let text = fs::read_to_string(&descriptor).unwrap_or_default();
        if text.contains(&*kept.to_string_lossy()) {
            for end in ["vmdk", "head", "tail"] {
                match fs::remove_file(descriptor.with_extension(end)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
    }
    Ok(true)
}

/// The files that programs have open, as far as this user may see.
#[must_use]
pub fn open_files() -> BTreeSet<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let files = processes.flat_map(|process| {
        let files = fs::read_dir(process.path().join("fd"));
        files.into_iter().flatten().flatten()
    });
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .collect()
}

/// What is in a directory; nothing when it is not there.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What a file or directory takes on the disk. What is gone takes nothing.
fn size(path: &Path) -> u64 {
    let Ok(meta) = path.symlink_metadata() else {
        return 0;
    };
    let below = if meta.is_dir() {
        entries(path).unwrap_or_default()
    } else {
        Vec::new()
    };
    meta.blocks() * 512 + below.iter().map(|path| size(path)).sum::<u64>()
}

fn unused(path: &Path, now: SystemTime) -> io::Result<u64> {
    let used = path.symlink_metadata()?.modified()?;
    Ok(now.duration_since(used).unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const DAY: u64 = 24 * 3600;

    fn item(name: &str, size: u64, unused: u64, in_use: bool) -> Item {
        Item {
            path: name.into(),
            kind: Kind::Layer,
            size,
            unused,
            in_use,
            target: None,
        }
    }

    fn chosen(items: &[Item], age: u64, size: Option<u64>) -> Vec<String> {
        let age = Duration::from_secs(age);
        let (goes, stays) = choose(items.to_vec(), Limits { age, size });
        assert_eq!(goes.len() + stays.len(), items.len());
        let name = |item: &Item| item.path.display().to_string();
        goes.iter().map(name).collect()
    }

    #[test]
    fn what_is_old_goes_unless_it_is_in_use_or_about_to_be() {
        let items = [
            item("old", 10, 40 * DAY, false),
            item("running", 10, 35 * DAY, true),
            item("new", 10, DAY, false),
            item("starting", 10, 5, false),
        ];
        assert_eq!(chosen(&items, 30 * DAY, None), ["old"]);
        assert_eq!(chosen(&items, 0, None), ["old", "new"]);
    }

    #[test]
    fn the_least_recently_used_go_until_the_rest_is_small_enough() {
        let items = [
            item("a", 10, 4 * DAY, false),
            item("b", 10, 3 * DAY, true),
            item("c", 10, 2 * DAY, false),
            item("d", 10, DAY, false),
        ];
        assert_eq!(chosen(&items, 30 * DAY, Some(40)), [""; 0]);
        assert_eq!(chosen(&items, 30 * DAY, Some(30)), ["a"]);
        assert_eq!(chosen(&items, 30 * DAY, Some(15)), ["a", "c", "d"]);
    }

    #[test]
    fn only_images_are_found_and_their_links_say_when_they_were_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = dir.path();
        for made in ["roots", "layers", "disks", "store"] {
            fs::create_dir(cache.join(made)).expect("made");
        }
        let store = cache.join("store/abc-cki-app.erofs");
        fs::write(&store, vec![1; 8192]).expect("written");
        let link = cache.join("roots/app-0123");
        symlink(&store, &link).expect("linked");
        symlink("/nix/store/cki-host", cache.join("roots/cki-host")).expect("linked");
        fs::write(cache.join("roots/app-file"), "not ours").expect("written");
        let layer = cache.join("layers/1-aa.erofs");
        fs::write(&layer, vec![1; 4096]).expect("written");

        let now = SystemTime::now() + Duration::from_secs(100);
        let found = |open: &[&Path]| {
            let open = open.iter().map(|path| path.to_path_buf()).collect();
            let items = items(cache, now, &open).expect("read");
            let seen = |item: Item| (item.path, item.size, item.in_use);
            items.into_iter().map(seen).collect::<Vec<_>>()
        };
        let mut both = found(&[]);
        both.sort();
        assert_eq!(
            both,
            [(layer.clone(), 4096, false), (link.clone(), 8192, false)]
        );
        assert!(
            found(&[&store, &layer])
                .iter()
                .all(|(_, _, in_use)| *in_use)
        );
    }

    #[test]
    fn what_goes_takes_the_disks_with_it_that_name_it_and_no_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = dir.path();
        for made in ["layers", "disks"] {
            fs::create_dir(cache.join(made)).expect("made");
        }
        let layer = cache.join("layers/1-aa.erofs");
        fs::write(&layer, "x").expect("written");
        for (disk, names) in [
            ("1", layer.display().to_string()),
            ("2", "/other".to_owned()),
        ] {
            for end in ["head", "tail"] {
                fs::write(cache.join(format!("disks/{disk}.{end}")), "x").expect("written");
            }
            let text = format!("RW 8 FLAT \"{names}\" 0\n");
            fs::write(cache.join(format!("disks/{disk}.vmdk")), text).expect("written");
        }
        let mut gone = item("", 1, DAY, false);
        gone.path.clone_from(&layer);
        // It was written, or used, after it had been found unused for a day.
        let now = SystemTime::now();
        assert!(!remove(cache, &gone, now).expect("looked at") && layer.exists());
        let tomorrow = now + Duration::from_secs(DAY + 1);
        assert!(remove(cache, &gone, tomorrow).expect("removed") && !layer.exists());
        let mut left = entries(&cache.join("disks")).expect("read");
        left.sort();
        let expected = ["head", "tail", "vmdk"].map(|end| cache.join(format!("disks/2.{end}")));
        assert_eq!(left, expected);
    }
}
