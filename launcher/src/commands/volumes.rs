// SPDX-License-Identifier: MIT OR Apache-2.0

//! The volumes of a container: streams to file-system processes, ours or those of whoever started us.

use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use anyhow::Context as _;
use cki_frontend::VolumeOption;
use cki_launcher::backend::standby::OURSELVES;
use cki_launcher::backend::volume::Stream;
use cki_launcher::inherited;
use cki_session::Volume;
use cki_volume::client;

/// Opens what a request has, by name: `inherited` ones, and for those of the options a process each, in the order
/// of the options. The processes end when the streams do.
pub(super) fn open(
    volumes: &[Volume],
    inherited: &[(String, RawFd)],
    options: &[VolumeOption],
) -> anyhow::Result<Vec<(String, Stream)>> {
    let mut streams = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let named = inherited.iter().find(|(name, _)| *name == volume.name);
        let file = match (named, options.get(index)) {
            (Some(&(_, number)), _) => inherited::both_ways(number)
                .with_context(|| format!("the volume {}", volume.name))?,
            (None, Some(option)) => {
                let volume = client::Shared {
                    directory: option.directory.clone(),
                    is_read_only: option.is_read_only,
                };
                let (socket, process) = client::start(Path::new(OURSELVES), &volume)?;
                // The filters of our threads let us kill nobody.
                process.leave_to_its_socket();
                OwnedFd::from(socket).into()
            }
            (None, None) => anyhow::bail!("nobody serves the volume {}", volume.name),
        };
        let stream = Stream::new(file).context("a volume's stream")?;
        streams.push((volume.name.clone(), stream));
    }
    Ok(streams)
}
