// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts the program of a session, here or in a container, and sets up what it finds around it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cki_session::{APP_SERIAL, Run};

use crate::container;
use crate::container::launcher::Launcher;
use crate::program::running::Ends;
use crate::program::{self, Started};
use crate::session::failure::ServeError;
use crate::session::place::Place;
use crate::system::{image, mounts, names, net, root, runtime};

/// How long a disk that was plugged in may take to be seen.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// Starts what `run` names: a process of this machine, or the launcher that runs it or has it run.
///
/// # Errors
/// [`ServeError`].
pub(crate) fn start(
    run: &Run,
    place: Place,
    ends: &Ends,
) -> Result<(Started, Option<Launcher>), ServeError> {
    let (started, launcher) = match (&run.container, &run.exec) {
        (Some(_), _) => start_container(run, place, ends)?,
        (None, Some(_)) => start_beside(run, ends)?,
        (None, None) => return Ok((start_here(run, place)?, None)),
    };
    Ok((started, Some(launcher)))
}

/// The disk that `run` is about. One that is plugged in just now takes a moment to be seen.
fn disk(run: &Run) -> Result<PathBuf, ServeError> {
    let serial = run.image_disk.as_deref().unwrap_or(APP_SERIAL);
    let (sysfs, dev) = (Path::new("/sys"), Path::new("/dev"));
    Ok(match run.image_disk {
        Some(_) => image::wait_for_disk(sysfs, dev, serial, DISK_PATIENCE)?,
        None => image::find_disk(sysfs, dev, serial)?,
    })
}

/// The program as a process of this machine: in its image, unless the machine has other sessions.
fn start_here(run: &Run, place: Place) -> Result<Started, ServeError> {
    if let Place::Shared(_) = place {
        if run.image_disk.is_some() || !run.root.is_empty() {
            let why = "a machine that stays up has programs of images in containers only";
            return Err(ServeError::Refused(why.to_owned()));
        }
        return Ok(program::start(&run.process)?);
    }
    image::enter(&disk(run)?)?;
    mounts::mount_kernel_filesystems(Path::new("/"))?;
    if let Some(pool) = run.pool {
        runtime::start(pool, None)?;
        runtime::offer_commands().map_err(ServeError::system("cannot link the command cki"))?;
    }
    connect(run)?;
    root::prepare(&run.root)?;
    Ok(program::start(&run.process)?)
}

/// The network of this machine or container, and its name there.
fn connect(run: &Run) -> Result<(), ServeError> {
    let interface = run.interface.as_ref();
    interface.map_or(Ok(()), net::set_up)?;
    let name = run.hostname.as_deref().unwrap_or(Run::HOSTNAME);
    names::set(Path::new("/etc"), name, interface)
        .map_err(ServeError::system("cannot set the names of hosts"))
}

/// The launcher of the container that `run` asks for, with the program in it.
fn start_container(
    run: &Run,
    place: Place,
    ends: &Ends,
) -> Result<(Started, Launcher), ServeError> {
    let disk = disk(run)?;
    // A machine that stays up is set up already.
    if !matches!(place, Place::Shared(_)) {
        mounts::mount_kernel_filesystems(Path::new("/"))?;
        connect(run)?;
        if let Some(container) = &run.container {
            runtime::start(container.memory, None)?;
        }
    }
    container::start(run, &disk, ends).map_err(ServeError::system(
        "cannot start the launcher of the container",
    ))
}

/// The launcher of a process for a container that runs here.
fn start_beside(run: &Run, ends: &Ends) -> Result<(Started, Launcher), ServeError> {
    container::start_beside(run, ends).map_err(ServeError::system("cannot start the launcher"))
}
