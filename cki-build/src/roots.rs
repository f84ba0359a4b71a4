// SPDX-License-Identifier: MIT OR Apache-2.0

//! When the layers of application images were last used: the times of the links that keep them.

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use cki_nix::cache::Cache;

/// Notes that the layers kept by these links were used now.
pub fn used<'a>(cache: &Cache, names: impl Iterator<Item = &'a str>) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    for name in names {
        let link = cache.roots().join(name);
        // Only `prune` asks, and an image that it takes too early is made again.
        if let Err(error) = utimensat(CWD, &link, &times, AtFlags::SYMLINK_NOFOLLOW) {
            tracing::debug!(%error, link = %link.display(), "its use could not be noted");
        }
    }
}
