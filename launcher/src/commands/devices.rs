// SPDX-License-Identifier: MIT OR Apache-2.0

//! The devices of a container, from its options or its request to the table.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context as _;
use cki_launcher::backend::network;
use cki_launcher::backend::unix_sockets::{ToHost, UnixSockets};
use cki_launcher::container_names::HeldName;
use cki_launcher::jail::Duty;
use cki_launcher::jail::rights::Rights;
use cki_launcher::virtio::block::Block;
use cki_launcher::virtio::fs::Fs;
use cki_launcher::virtio::rng::Rng;
use cki_launcher::virtio::vsock::Vsock;
use cki_launcher::vm::table::Table;
use cki_session::{Disk, Interface, Network, Run, disk_serial};

use super::{disks, volumes};
use crate::cli::RunArgs;

/// Adds the disk of the application image, if there is one, and those of the user behind it.
pub(super) fn add_disks(
    devices: &mut Table,
    args: &RunArgs,
    root: Option<Block>,
    disks: &[Disk],
) -> anyhow::Result<()> {
    let large = Arc::default();
    if let Some(root) = root {
        devices.add(root.sharing(&large), Duty::Disk)?;
    }
    let storages = disks::open(disks, &args.disk_fd, &args.disk)?;
    for ((number, storage), disk) in storages.into_iter().enumerate().zip(disks) {
        let block = Block::new(storage, &disk_serial(number));
        let block = block.sharing(&large).limited(disk.rates);
        devices.add(block, Duty::Disk)?;
    }
    Ok(())
}

/// Adds the source of random numbers.
pub(super) fn add_entropy(devices: &mut Table) -> anyhow::Result<()> {
    let random = File::open("/dev/urandom").context("/dev/urandom")?;
    devices.add(Rng::new(random), Duty::Entropy)?;
    Ok(())
}

/// Adds a file system for each of the program's volumes.
pub(super) fn add_volumes(
    devices: &mut Table,
    args: &RunArgs,
    run: Option<&Run>,
) -> anyhow::Result<()> {
    let volumes = volumes::open(
        run.map_or(&[], |run| &run.root.volumes),
        &args.volume_fd,
        &args.program.volume,
    )?;
    for (name, stream) in volumes {
        devices.add(Fs::new(&name, stream), Duty::Volume)?;
    }
    Ok(())
}

/// Adds the network card, if there is to be one; what init is told of it.
pub(super) fn add_card(
    devices: &mut Table,
    network: Option<&Network>,
) -> anyhow::Result<Option<Interface>> {
    let Some(network) = network else {
        return Ok(None);
    };
    let (card, told) = network::connect(network)?;
    devices.add(card, Duty::Network)?;
    Ok(Some(told))
}

/// Adds the device of sockets, if somebody is to be connected by it. Of a name's, only `cki exec` is the client; the
/// container has nobody to connect to.
pub(super) fn add_sockets(
    devices: &mut Table,
    args: &RunArgs,
    held: Option<&HeldName>,
    rights: &mut Rights,
) -> anyhow::Result<()> {
    let (path, to_host, duty) = match (held, &args.vsock) {
        (Some(held), _) => (held.sockets(), ToHost::Refused, Duty::Listener),
        (None, Some(_)) if rights.root().is_some() && args.jail_user.is_none() => {
            anyhow::bail!(
                "--vsock has the container connect to sockets of a user's: as root, say whose with --jail-user UID \
                 (0 for root's own)"
            )
        }
        (None, Some(path)) => (path.clone(), ToHost::Connected, Duty::Sockets),
        (None, None) => return Ok(()),
    };
    let listening = UnixSockets::listen_in(&path, to_host).context("--vsock")?;
    let (mut sockets, directory) = listening;
    if let (Some(root), ToHost::Connected, Some(name)) = (rights.root(), to_host, path.file_name())
    {
        sockets = sockets.seen_at(root.keep(directory, name));
    }
    devices.add(Vsock::new(sockets), duty)?;
    Ok(())
}
