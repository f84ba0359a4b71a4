// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a request wants done to the root file system.

use std::io;
use std::path::Path;

use cki_session::{Root, Tmpfs};
use nix::mount::{MsFlags, mount};

use crate::system::mounts::{MountError, mount_at};

/// Why that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum PrepareRootError {
    /// A file system in memory, or a volume, cannot be mounted there.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The root file system stays writable.
    #[error("cannot make the root file system read-only: {0}")]
    ReadOnly(io::Error),
}

/// Does to `/` what is asked for. The kernel's file systems are mounted, and nothing is written to `/` afterwards.
///
/// # Errors
/// [`PrepareRootError`]; the program is not to be started then.
pub fn prepare(root: &Root) -> Result<(), PrepareRootError> {
    for tmpfs in &root.tmpfs {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let path = Path::new(tmpfs.path());
        mount_at("tmpfs", "tmpfs", path, flags, &options(tmpfs))?;
    }
    for volume in &root.volumes {
        let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        flags.set(MsFlags::MS_RDONLY, volume.read_only);
        mount_at(&volume.name, "virtiofs", Path::new(&volume.path), flags, "")?;
    }
    if root.read_only {
        let none = None::<&str>;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, "/", none, flags, none)
            .map_err(|error| PrepareRootError::ReadOnly(error.into()))?;
    }
    Ok(())
}

/// Its options, as tmpfs(5) has them.
fn options(tmpfs: &Tmpfs) -> String {
    let mode = format!("mode={:o}", tmpfs.mode());
    match tmpfs.size() {
        Some(size) => format!("{mode},size={}", size.bytes()),
        None => mode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tmpfs_has_the_size_and_mode_that_were_asked_for() {
        for (text, expected) in [
            ("/a", "mode=1777"),
            ("/a:size=1M,mode=700", "mode=700,size=1048576"),
        ] {
            assert_eq!(options(&text.parse().unwrap()), expected);
        }
    }
}
