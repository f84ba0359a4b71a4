// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container, from init's side: starts the launcher that runs a program in one, with all that it inherits.
//!
//! | file | what |
//! |---|---|
//! | [`launcher`] | one that runs: what it is asked, and what it says |

pub mod launcher;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cki_session::{Disk, Request, Run, Volume};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::container::launcher::{Launcher, Purpose};
use crate::program::Started;
use crate::program::inheritance::{
    DESCRIPTORS, as_session_leader, with_descriptors, with_fresh_signals,
};
use crate::program::running::Ends;
use crate::system::image;
use crate::system::ports;
use crate::system::runtime;

/// How long whoever serves a volume may take to connect its port.
const VOLUME_PATIENCE: Duration = Duration::from_secs(10);

/// Starts the launcher, and sends it the request, which has a container. Its standard input and output are the
/// client's ends themselves: two copies of each byte less than by pipes. Its standard error, where it has
/// sentences of its own to say, is a pipe. `image` is the disk with the application image. The runtime disk is
/// mounted and its module loaded.
///
/// # Errors
/// Those of fork and exec, of disks that are not there, and of the ports of volumes.
pub fn start(run: &Run, image: &Path, ends: &Ends) -> io::Result<(Started, Launcher)> {
    let ports = open_volumes(&run.root.volumes)?;
    let request = relayed(run);
    let disks = request.container.iter();
    let disks: Vec<_> = disks.flat_map(|container| &container.disks).collect();
    let files = open_disks(Path::new("/sys"), Path::new("/dev"), &disks)?;
    let volumes = request.root.volumes.iter().map(|volume| &volume.name);
    let serials = disks.iter().map(|disk| &disk.serial);
    let named = |option, (name, file): (&String, &File)| {
        let value = format!("{name}={}", file.as_raw_fd());
        [String::from(option), value]
    };
    let inherited: Vec<_> = volumes
        .zip(&ports)
        .flat_map(|volume| named("--volume-fd", volume))
        .chain(
            serials
                .zip(&files)
                .flat_map(|disk| named("--disk-fd", disk)),
        )
        .collect();
    // Ports and disks are open here until it has them.
    launch(
        |session_fd| [arguments(image, session_fd), inherited].concat(),
        request,
        ends,
        Purpose::Run,
    )
}

/// The request as the launcher is to have it, which knows nothing of the machine.
fn relayed(run: &Run) -> Run {
    let mut request = run.clone();
    name_volumes(&mut request.root.volumes);
    // That card and that disk are ours; the container's are the launcher's business.
    request.interface = None;
    request.image_disk = None;
    request
}

/// Starts the launcher for a process in a container that runs, and sends it the request, which names that container.
/// Its streams are as of [`start`].
///
/// # Errors
/// Those of fork and exec.
pub fn start_beside(run: &Run, ends: &Ends) -> io::Result<(Started, Launcher)> {
    let arguments = |session_fd: RawFd| {
        ["exec", "--session-fd", &session_fd.to_string()]
            .map(str::to_owned)
            .to_vec()
    };
    launch(arguments, run.clone(), ends, Purpose::Exec)
}

/// Starts the launcher with such arguments, for the number of the descriptor of its session, and sends it the request.
fn launch(
    arguments: impl FnOnce(RawFd) -> Vec<String>,
    request: Run,
    ends: &Ends,
    purpose: Purpose,
) -> io::Result<(Started, Launcher)> {
    let (ours, its) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // PID 1 has one thread, so no other child inherits the descriptor meanwhile.
    fcntl(&its, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let mut command = Command::new(format!("{}/bin/cki", runtime::DIRECTORY));
    command
        .args(arguments(its.as_raw_fd()))
        .env_clear()
        .current_dir("/")
        .stdin(ends.stdin.try_clone()?)
        .stdout(ends.stdout.try_clone()?)
        .stderr(Stdio::piped());
    with_descriptors(&mut command, DESCRIPTORS);
    let child = as_session_leader(with_fresh_signals(&mut command)).spawn()?;
    // Otherwise its end would not be seen.
    drop(its);
    let mut launcher = Launcher::new(ours, purpose);
    launcher.ask(&Request::Run(Box::new(request)));
    let started = Started {
        child,
        terminal: None,
    };
    Ok((started, launcher))
}

/// Longest time that the launcher gives a container to start. Whoever started this machine has a shorter limit, and
/// knows, as nothing in the machine does, when there was no processor for it.
const START_TIMEOUT: &str = "1h";

/// The ports of volumes, in their order, for the launcher to inherit.
fn open_volumes(volumes: &[Volume]) -> io::Result<Vec<File>> {
    let open = |volume: &Volume| {
        let port = ports::open(Path::new("/sys"), Path::new("/dev"), &volume.port())
            .map_err(io::Error::other)?;
        if !ports::is_connected(&port, VOLUME_PATIENCE) {
            let message = format!("nobody serves the volume at {}", volume.path);
            return Err(io::Error::other(message));
        }
        fcntl(&port, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(port)
    };
    volumes.iter().map(open).collect()
}

/// Names volumes as the container is to know them. Those of ports are the machine's, and count what others have had.
fn name_volumes(volumes: &mut [Volume]) {
    for (index, volume) in volumes.iter_mut().enumerate() {
        volume.name = format!("volume{index}");
    }
}

/// The disks with these serial numbers, for the launcher to inherit. One that can be written is nobody else's.
fn open_disks(sysfs: &Path, dev: &Path, disks: &[&Disk]) -> io::Result<Vec<File>> {
    let open = |disk: &&Disk| {
        let serial = &disk.serial;
        let missing = |_| io::Error::other(format!("there is no disk {serial:?} here"));
        let path = image::find_disk(sysfs, dev, serial).map_err(missing)?;
        let is_written = !disk.read_only;
        let flags = if is_written { libc::O_EXCL } else { 0 };
        let mut options = File::options();
        let options = options.read(true).write(is_written).custom_flags(flags);
        let told = |error| io::Error::other(format!("cannot open the disk {serial:?}: {error}"));
        let file = options.open(path).map_err(told)?;
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(file)
    };
    disks.iter().map(open).collect()
}

/// What `cki` is called with: what the program is run on. All else is in the request.
fn arguments(image: &Path, session_fd: RawFd) -> Vec<String> {
    let file = |name: &str| format!("{}/lib/{name}", runtime::DIRECTORY);
    let options = [
        ("--session-fd", session_fd.to_string()),
        ("--kernel", file("vmlinux")),
        ("--initrd", file("initrd")),
        ("--image", image.display().to_string()),
        ("--start-timeout", START_TIMEOUT.to_owned()),
    ];
    let words = options
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value]);
    std::iter::once("run".to_owned()).chain(words).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use cki_session::Container;

    use super::*;

    #[test]
    fn the_launchers_command_line_is_about_the_machine_only() {
        let words = arguments(Path::new("/dev/vda"), 9).join(" ");
        assert_eq!(
            words,
            "run --session-fd 9 --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda \
             --start-timeout 1h"
        );
    }

    #[test]
    fn a_container_is_not_told_how_many_volumes_others_have_had() {
        let volume = |name: &str, path: &str| Volume {
            name: name.to_owned(),
            path: path.to_owned(),
            read_only: true,
        };
        let mut volumes = [volume("volume7", "/a"), volume("volume8", "/b")];
        name_volumes(&mut volumes);
        assert_eq!(volumes, [volume("volume0", "/a"), volume("volume1", "/b")]);
    }

    #[test]
    fn the_launcher_gets_the_request_without_what_is_the_machines() {
        let mut run = Run::new(["true"]);
        let mut container = Container::new(Container::DEFAULT_MEMORY);
        container.disks = vec![Disk::new("cki-disk1", true), Disk::new("cki-disk0", false)];
        container.disks[1].rates.read_bps = "1M+8M".parse().ok();
        run.container = Some(container.clone());
        run.image_disk = Some("cki-app3".to_owned());
        let relayed = relayed(&run);
        assert_eq!(
            (relayed.container, relayed.image_disk),
            (Some(container), None)
        );
    }

    #[test]
    fn disks_are_found_by_their_serial_numbers_and_opened_as_they_are_used() {
        let (sysfs, dev) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, serial) in [
            ("vda", "cki-app"),
            ("vdb", "cki-disk1"),
            ("vdc", "cki-disk0"),
        ] {
            let dir = sysfs.path().join("block").join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("serial"), serial).unwrap();
            std::fs::write(dev.path().join(name), serial).unwrap();
        }
        let open = |disks: &[&Disk]| open_disks(sysfs.path(), dev.path(), disks);
        let (first, second) = (Disk::new("cki-disk0", false), Disk::new("cki-disk1", true));
        let files = open(&[&first, &second]).unwrap();
        for (mut file, (serial, writable)) in files
            .iter()
            .zip([("cki-disk0", true), ("cki-disk1", false)])
        {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, serial);
            assert_eq!(file.write(b"x").is_ok(), writable, "{serial}");
            let flags = fcntl(file, FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags, 0, "it is inherited");
        }
        let error = open(&[&Disk::new("cki-disk2", false)]).unwrap_err();
        assert!(
            error.to_string().contains("no disk \"cki-disk2\""),
            "{error}"
        );
        std::fs::remove_file(dev.path().join("vdb")).unwrap();
        let error = open(&[&second]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cannot open the disk \"cki-disk1\""),
            "{error}"
        );
    }
}
