// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processes that serve the directories of the user's, children of ours wherever the container is.

use std::os::unix::net::UnixStream;
use std::path::Path;

use cki_frontend::VolumeOption;
use cki_volume::client::{self, StartError, VolumeProcess};

/// Starts one for each option: the sockets for the machine, and the processes, which end when these are dropped.
///
/// # Errors
/// [`StartError`]; none is left then.
pub fn start(
    options: &[VolumeOption],
) -> Result<(Vec<UnixStream>, Vec<VolumeProcess>), StartError> {
    let start = |option: &VolumeOption| {
        let volume = client::Shared {
            directory: option.directory.clone(),
            is_read_only: option.is_read_only,
        };
        client::start(Path::new("/proc/self/exe"), &volume)
    };
    let started: Result<Vec<_>, _> = options.iter().map(start).collect();
    Ok(started?.into_iter().unzip())
}
