// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container, from init's side: the launcher that runs the program in it, and init as its client.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use cki_session::{Disk, Event, Failure, FailureKind, Outcome, Request, Run, Volume};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::PollFlags;

use crate::channel::{Channel, ChannelError, Heard};
use crate::image;
use crate::inheritance::{DESCRIPTORS, as_session_leader, with_descriptors, with_fresh_signals};
use crate::ports;
use crate::program::Started;
use crate::running::Ends;
use crate::runtime;

/// How long whoever serves a volume may take to connect its port.
const VOLUME_PATIENCE: Duration = Duration::from_secs(10);

/// Starts the launcher, and sends it the request, which has a container. Its standard input and output are the
/// client's ends themselves: two copies of each byte less than by pipes. Its standard error, where it has
/// sentences of its own to say, is a pipe. `image` is the disk with the application image. The runtime disk is mounted and its module loaded.
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
        Service::Run,
    )
}

/// The request as the launcher is to have it, which knows nothing of the machine.
fn relayed(run: &Run) -> Run {
    let mut request = run.clone();
    name_volumes(&mut request.root.volumes);
    // That card and that disk are ours; the container's are the launcher's business.
    request.interface = None;
    request.disk = None;
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
    launch(arguments, run.clone(), ends, Service::Exec)
}

/// Starts the launcher with such arguments, for the number of the descriptor of its session, and sends it the request.
fn launch(
    arguments: impl FnOnce(RawFd) -> Vec<String>,
    request: Run,
    ends: &Ends,
    service: Service,
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
    let mut launcher = Launcher::new(ours, service);
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
        ("--root", image.display().to_string()),
        ("--start-timeout", START_TIMEOUT.to_owned()),
    ];
    let words = options
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value]);
    std::iter::once("run".to_owned()).chain(words).collect()
}

/// What a launcher is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// A container with the program: without the launcher, there is neither.
    Run,
    /// A process in a container that another launcher runs.
    Exec,
}

/// A running launcher, from its client's side.
#[derive(Debug)]
pub struct Launcher {
    service: Service,
    /// Gone once it has said everything.
    channel: Option<Channel>,
    outcome: Option<Outcome>,
    /// Bytes of standard output that it has written.
    stdout: u64,
    /// What it did against the protocol.
    broken: Option<String>,
}

impl Launcher {
    fn new(socket: UnixStream, service: Service) -> Self {
        Launcher {
            service,
            channel: Some(Channel::new(File::from(OwnedFd::from(socket)))),
            outcome: None,
            stdout: 0,
            broken: None,
        }
    }

    /// What to wait for; `None` once it has said everything.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let channel = self.channel.as_ref()?;
        let mut flags = PollFlags::POLLIN;
        flags.set(PollFlags::POLLOUT, !channel.is_flushed());
        Some((channel.as_fd(), flags))
    }

    /// Whether it has taken all that it was asked. Until then it is not to be asked for more, but for what has been
    /// received together.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        self.channel.as_ref().is_none_or(Channel::is_flushed)
    }

    /// Passes a request on, now or as soon as it reads: it may be waiting for us to read what it says. One that has
    /// gone is seen by its end.
    pub fn ask(&mut self, request: &Request) {
        let Some(channel) = &mut self.channel else {
            return;
        };
        if let Err(error @ ChannelError::Protocol(_)) = channel.queue(request) {
            self.broken.get_or_insert(error.to_string());
        }
        let _ = channel.flush();
    }

    /// Goes on with what it is asked, and hears what it has said; gives what our own client is to know now.
    pub fn listen(&mut self) -> Vec<Event> {
        let Some(channel) = &mut self.channel else {
            return Vec::new();
        };
        // A launcher that has gone is seen by its end.
        let _ = channel.flush();
        let heard = match channel.receive() {
            Ok(heard) => heard,
            Err(error) => {
                self.channel = None;
                if !matches!(error, ChannelError::Closed) {
                    self.broken.get_or_insert(error.to_string());
                }
                return Vec::new();
            }
        };
        let events = heard.into_iter().filter_map(|event| self.hear(event));
        events.collect()
    }

    fn hear(&mut self, heard: Heard<Event>) -> Option<Event> {
        let breach = match heard {
            Ok(Event::Hello(hello)) => hello.check().err()?,
            Ok(Event::Ended { outcome, .. }) if self.outcome.is_none() => {
                self.outcome = Some(outcome);
                return None;
            }
            Ok(event @ (Event::Started { .. } | Event::Refused { .. })) => return Some(event),
            Ok(Event::Output { stdout, .. }) => {
                self.stdout = stdout;
                return None;
            }
            Ok(Event::Ended { .. }) => "it said twice how the program ended".to_owned(),
            Ok(Event::Ready { .. } | Event::Unknown) => return None,
            Err(why) => why,
        };
        self.broken.get_or_insert(breach);
        None
    }

    /// How the program ended, once the launcher has, and how many bytes it has written to standard output. `None` if
    /// the launcher of a container was killed before it could say how, and `is_the_end` that the program has ended by
    /// that.
    #[must_use]
    pub fn outcome(mut self, ended: ExitStatus, is_the_end: bool) -> (Option<Outcome>, u64) {
        // What it passes on now is too late: the program has ended.
        // All of it is in the socket, whose buffer is read at once, and then its end.
        for _ in 0..2 {
            self.listen();
        }
        let was_killed = is_the_end && ended.signal() == Some(libc::SIGKILL);
        let what = match self.service {
            Service::Run => "the launcher of the container",
            Service::Exec => "the launcher of the process",
        };
        let how = match (self.broken, self.outcome) {
            (Some(breach), _) => format!("and init do not fit together: {breach}"),
            (None, Some(outcome)) => return (Some(outcome), self.stdout),
            (None, None) if was_killed && self.service == Service::Run => {
                return (None, self.stdout);
            }
            (None, None) => format!("ended without a word ({ended})"),
        };
        let failure = Failure::new(FailureKind::Internal, format!("{what} {how}"));
        (Some(Outcome::Failed(failure)), self.stdout)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::channel::QUEUE_MAX;
    use cki_session::{Container, Isolation, ProcessId, encode};

    const HELLO: &[u8] = b"{\"type\":\"hello\",\"version\":3,\"kernel\":\"6.12\"}\n";
    const STARTED: &[u8] = b"{\"type\":\"started\",\"id\":1,\"pid\":7,\"isolation\":\"full\"}\n";
    const ENDED: &[u8] = b"{\"type\":\"ended\",\"id\":1,\"outcome\":{\"exited\":3}}\n";

    #[test]
    fn the_launchers_command_line_is_about_the_machine_only() {
        let words = arguments(Path::new("/dev/vda"), 9).join(" ");
        assert_eq!(
            words,
            "run --session-fd 9 --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --root /dev/vda \
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
        container.disks[1].rates.read.bytes = "1M+8M".parse().ok();
        run.container = Some(container.clone());
        run.disk = Some("cki-app3".to_owned());
        let relayed = relayed(&run);
        assert_eq!((relayed.container, relayed.disk), (Some(container), None));
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

    fn launcher() -> (Launcher, UnixStream) {
        let (ours, its) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Launcher::new(ours, Service::Run), its)
    }

    fn status(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn what_the_launcher_says_is_passed_on() {
        let (mut launcher, mut its) = launcher();
        assert_eq!(launcher.listen(), []);
        its.write_all(&[HELLO, STARTED].concat()).unwrap();
        let started = Event::Started {
            id: ProcessId::MAIN,
            pid: 7,
            isolation: Isolation::Full,
        };
        let refused = Event::Refused {
            message: "no".to_owned(),
        };
        assert_eq!(launcher.listen(), [started]);
        its.write_all(b"{\"type\":\"news\"}\n").unwrap();
        its.write_all(&encode(&refused).unwrap()).unwrap();
        assert_eq!(launcher.listen(), [refused]);
        its.write_all(b"{\"type\":\"output\",\"id\":1,\"stdout\":77,\"stderr\":0}\n")
            .unwrap();
        its.write_all(ENDED).unwrap();
        drop(its);
        assert_eq!(launcher.listen(), []);
        let outcome = launcher.outcome(status(3), true);
        assert_eq!(outcome, (Some(Outcome::Exited(3)), 77));
    }

    #[test]
    fn a_request_reaches_the_launcher() {
        let (mut launcher, mut its) = launcher();
        let request = Request::Signal {
            id: ProcessId::MAIN,
            signal: cki_session::Signal::TERM,
        };
        launcher.ask(&request);
        drop(launcher);
        let mut bytes = Vec::new();
        its.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, encode(&request).unwrap());
    }

    #[test]
    fn a_launcher_that_reads_nothing_is_not_waited_for() {
        let (mut launcher, mut its) = launcher();
        its.write_all(HELLO).unwrap();
        let request = Request::Signal {
            id: ProcessId::MAIN,
            signal: cki_session::Signal::TERM,
        };
        let line = encode(&request).unwrap();
        // More than its socket holds.
        let count = (QUEUE_MAX / 2) / line.len();
        for _ in 0..count {
            launcher.ask(&request);
        }
        assert!(!launcher.takes_more());
        let (_, flags) = launcher.interest().unwrap();
        assert!(flags.contains(PollFlags::POLLIN | PollFlags::POLLOUT));
        // It is heard all the same, and then takes all.
        assert_eq!(launcher.listen(), []);
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; count * line.len()];
            its.read_exact(&mut bytes).map(|()| bytes)
        });
        while !launcher.takes_more() {
            launcher.listen();
        }
        let bytes = reader.join().unwrap().unwrap();
        assert!(bytes == encode(&request).unwrap().repeat(count));
    }

    #[test]
    fn a_launcher_that_dies_silently_or_says_nonsense_is_a_failure_of_ours() {
        let newer = HELLO.to_vec();
        let newer = String::from_utf8(newer).unwrap().replace(":3,", ":9,");
        for (said, part) in [
            (&b""[..], "without a word"),
            (STARTED, "without a word"),
            (b"{\"type\":\"exi", "without a word"),
            (b"killed\n", "no message"),
            (b"{\"type\":\"started\"}\n", "`id`"),
            (newer.as_bytes(), "version 9"),
            (&[ENDED, ENDED].concat(), "twice"),
        ] {
            let (mut launcher, mut its) = launcher();
            its.write_all(said).unwrap();
            drop(its);
            // It may be heard before it has ended, or after.
            if said.len() % 2 == 0 {
                assert!(launcher.listen().len() <= 1);
            }
            let (outcome, _) = launcher.outcome(ExitStatus::from_raw(libc::SIGKILL), false);
            match outcome {
                Some(Outcome::Failed(Failure {
                    kind: FailureKind::Internal,
                    message,
                })) => assert!(message.contains(part), "{part} in {message}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_killed_launcher_is_the_end_of_its_container_and_of_no_process_in_anothers() {
        let killed = ExitStatus::from_raw(libc::SIGKILL);
        let outcome = |service, said: &[u8], ended| {
            let (mut launcher, mut its) = launcher();
            launcher.service = service;
            its.write_all(said).unwrap();
            drop(its);
            launcher.outcome(ended, true).0
        };
        assert_eq!(outcome(Service::Run, STARTED, killed), None);
        // It has told how the program ended, or was not killed.
        let told = outcome(Service::Run, ENDED, killed);
        assert_eq!(told, Some(Outcome::Exited(3)));
        for (service, ended) in [(Service::Run, status(1)), (Service::Exec, killed)] {
            let Some(Outcome::Failed(failure)) = outcome(service, STARTED, ended) else {
                panic!("{service:?} {ended:?}");
            };
            assert!(failure.message.contains("without a word"), "{failure:?}");
        }
    }
}
