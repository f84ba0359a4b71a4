// SPDX-License-Identifier: MIT OR Apache-2.0

//! Unix sockets behind the socket device, as Firecracker has them.
//!
//! A client of the host's connects to the socket PATH and says `CONNECT port`, a line; when the guest
//! accepts, it reads `OK port` and then speaks with whoever listens on that port in the guest. A
//! connection of the guest's to port P of the host goes to the socket `PATH_P`, if somebody listens,
//! or is refused ([`ToHost`]).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket,
};
use nix::unistd::geteuid;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, open, openat, statat};
use rustix::io::Errno;

use crate::socket_file::SocketFile;
use crate::virtio::vsock::connection::{Interest, asked_port};
use crate::virtio::vsock::{Host, HostEvent};

/// Token of the listener.
const LISTENER: u64 = u64::MAX;
/// Tokens of newcomers are from here on.
const NEWCOMERS: u64 = 1 << 62;
/// Newcomers at most; when another one comes, the one that has waited longest is sent away.
const NEWCOMERS_MAX: usize = 32;
/// Bytes of the first line at most.
const LINE_MAX: usize = 32;
/// Events taken at a time.
const EVENTS: usize = 32;
/// How the directory of a socket is opened.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Time for which another launcher may make its socket in the same directory, and how often it is looked.
const ALONE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The sockets cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody listens there.
    #[error("{} is in use by another process; choose another path", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{} exists and is no socket; choose another path", .0.display())]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("cannot listen on {}", .path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What becomes of the guest's connections to ports of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToHost {
    /// Refused, without a system call.
    Refused,
    /// Connected to the socket of the port.
    Connected,
}

/// What becomes of symbolic links on the way to a socket.
#[derive(Clone, Copy, Debug)]
enum Links {
    Followed,
    Refused,
}

/// A client that has not said what it wants.
#[derive(Debug)]
struct Newcomer {
    token: u64,
    stream: UnixStream,
    line: Vec<u8>,
}

/// The sockets.
#[derive(Debug)]
pub struct UnixSockets {
    path: PathBuf,
    to_host: ToHost,
    listener: UnixListener,
    epoll: Epoll,
    newcomers: Vec<Newcomer>,
    next: u64,
}

impl UnixSockets {
    /// Listens on `path`, for this user only. A socket that is left there and that nobody listens on is replaced.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn listen(path: &Path, to_host: ToHost) -> Result<Self, SocketError> {
        Self::listen_in(path, to_host).map(|(sockets, _)| sockets)
    }

    /// As [`UnixSockets::listen`], with the directory in which the socket is.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn listen_in(path: &Path, to_host: ToHost) -> Result<(Self, File), SocketError> {
        let failed = failed(path);
        let links = match to_host {
            // Root is asked to go to a directory of the user to be, who may not be able to go everywhere.
            ToHost::Connected if geteuid().is_root() => Links::Refused,
            // That of a name, which systemd may have made a link to another one; users make none there.
            _ => Links::Followed,
        };
        let (listener, directory) = listener_in(path, links)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| failed(e.into()))?;
        // Told once for each newcomer: where no descriptor is left, those that wait do not keep the
        // thread busy, but are taken with the next one.
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, LISTENER);
        epoll.add(&listener, event).map_err(|e| failed(e.into()))?;
        let sockets = UnixSockets {
            path: path.to_owned(),
            to_host,
            listener,
            epoll,
            newcomers: Vec::new(),
            next: NEWCOMERS,
        };
        Ok((sockets, directory))
    }

    /// Connects to those beside `path` from now on, which is the same path as another root directory has it.
    #[must_use]
    pub fn seen_at(mut self, path: PathBuf) -> Self {
        self.path = path;
        self
    }

    /// Takes all newcomers that wait.
    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.take(stream);
        }
    }

    fn take(&mut self, stream: UnixStream) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.newcomers.len() == NEWCOMERS_MAX {
            // Closed, it is no longer watched.
            self.newcomers.remove(0);
        }
        let token = self.next;
        self.next += 1;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        if self.epoll.add(&stream, event).is_ok() {
            let line = Vec::new();
            self.newcomers.push(Newcomer {
                token,
                stream,
                line,
            });
        }
    }

    /// Reads more of what a newcomer wants. One that wants nothing that can be is sent away.
    fn newcomer(&mut self, token: u64) -> Option<HostEvent> {
        let at = self
            .newcomers
            .iter()
            .position(|newcomer| newcomer.token == token)?;
        let newcomer = &mut self.newcomers[at];
        let line = read_line(&newcomer.stream, &mut newcomer.line);
        if matches!(&line, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            return None;
        }
        let newcomer = self.newcomers.remove(at);
        // If it fails, the newcomer is closed all the same.
        let _ = self.epoll.delete(&newcomer.stream);
        let port = line.and_then(|()| asked_port(&newcomer.line)).ok()?;
        Some(HostEvent::Asked(port, newcomer.stream))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SocketError + Copy {
    move |source| SocketError::Listen {
        path: path.to_owned(),
        source,
    }
}

/// Listens on `path`, in the directory of a container's name, for this user only; nothing waits. A socket that is left
/// there and that nobody listens on is replaced.
///
/// # Errors
/// [`SocketError`].
pub fn listener(path: &Path) -> Result<UnixListener, SocketError> {
    listener_in(path, Links::Followed).map(|(listener, _)| listener)
}

/// The same, and the directory.
fn listener_in(path: &Path, links: Links) -> Result<(UnixListener, File), SocketError> {
    let failed = failed(path);
    let (directory, there) = directory_of(path, links).map_err(failed)?;
    // What is found there is what is replaced: two launchers would each take the other's for one that was left.
    let alone = alone_in(&directory).map_err(failed)?;
    match SocketFile::find(&there) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(None) => return Err(SocketError::Exists(path.to_owned())),
        Ok(Some(left)) => match left.connect() {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&there).map_err(failed)?;
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(failed(error)),
            _ => return Err(SocketError::InUse(path.to_owned())),
        },
    }
    let listener = bind(&there).map_err(failed)?;
    drop(alone);
    Ok((listener, directory))
}

/// Keeps other launchers from making sockets in a directory, as long as what this returns is there.
fn alone_in(directory: &File) -> io::Result<Flock<File>> {
    let flags = OFlags::RDONLY.union(OFlags::DIRECTORY) | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, ".", flags, Mode::empty())?);
    let deadline = Instant::now() + ALONE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, nix::Error::EWOULDBLOCK)) if Instant::now() < deadline => file = back,
            Err((_, nix::Error::EWOULDBLOCK)) => {
                return Err(io::Error::other(
                    "another program has its directory locked (flock), and does not let go",
                ));
            }
            Err((_, error)) => return Err(error.into()),
        }
        thread::sleep(PAUSE);
    }
}

/// The directory of a socket, and how the socket is reached through it: another user's may be renamed and exchanged at
/// any time, and what root then does by its path would be done elsewhere.
fn directory_of(path: &Path, links: Links) -> io::Result<(File, PathBuf)> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let directory = match links {
        Links::Followed => open(directory, DIRECTORY, Mode::empty())?.into(),
        Links::Refused => without_links(directory)?,
    };
    let through = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
    Ok((directory, through.join(name)))
}

/// Why a part of a path is no directory.
fn why(from: BorrowedFd<'_>, part: Component<'_>, error: Errno) -> io::Error {
    let found = statat(from, part.as_os_str(), AtFlags::SYMLINK_NOFOLLOW);
    let is_link = |found: Stat| FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
    match error {
        Errno::NOTDIR | Errno::LOOP if found.is_ok_and(is_link) => io::Error::other(
            "a symbolic link leads to its directory, and root follows none here; name the directory itself (realpath)",
        ),
        error => error.into(),
    }
}

/// Opens a directory to which no symbolic link leads. openat2(2) does it in one call, and is not there under systemd's
/// `RestrictSUIDSGID=`, which cannot look at its flags.
fn without_links(path: &Path) -> io::Result<File> {
    let mut at: Option<OwnedFd> = None;
    for component in path.components() {
        let from = at.as_ref().map_or(CWD, OwnedFd::as_fd);
        // As a directory, so that what is mounted on demand is mounted.
        let flags = DIRECTORY.union(OFlags::NOFOLLOW);
        let found = openat(from, component.as_os_str(), flags, Mode::empty());
        at = Some(found.map_err(|error| why(from, component, error))?);
    }
    match at {
        Some(directory) => Ok(directory.into()),
        None => Ok(open(".", DIRECTORY, Mode::empty())?.into()),
    }
}

/// Makes the socket and listens; nobody else can connect at any time.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The file that bind(2) makes has the mode of the socket (Linux, net/unix/af_unix.c).
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    // Under another name until somebody listens, so that whoever finds the socket is not refused.
    let new = tempfile::Builder::new().prefix(".cki-").make_in(
        path.parent().unwrap_or(Path::new(".")),
        |new| {
            Ok(nix::sys::socket::bind(
                socket.as_raw_fd(),
                &UnixAddr::new(new)?,
            )?)
        },
    )?;
    listen(&socket, Backlog::MAXCONN)?;
    // Of a program that asks nobody, nothing is replaced either.
    new.into_temp_path().persist_noclobber(path)?;
    Ok(socket.into())
}

/// Reads up to the end of a line, and not more.
fn read_line(mut stream: &UnixStream, line: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 || line.len() == LINE_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        if byte == *b"\n" {
            return Ok(());
        }
        line.extend(byte);
    }
}

fn flags(interest: Interest) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::EPOLLIN, interest.read);
    flags.set(EpollFlags::EPOLLOUT, interest.write);
    flags
}

impl Host for UnixSockets {
    fn source(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    fn events(&mut self) -> Vec<HostEvent> {
        let mut ready = [EpollEvent::empty(); EVENTS];
        let count = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or(0);
        let mut events = Vec::new();
        for event in &ready[..count] {
            match event.data() {
                LISTENER => self.accept(),
                token if token >= NEWCOMERS => events.extend(self.newcomer(token)),
                token => events.push(HostEvent::Ready(token)),
            }
        }
        events
    }

    fn connect(&mut self, port: u32) -> io::Result<UnixStream> {
        if self.to_host == ToHost::Refused {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let mut path = OsString::from(&self.path);
        path.push(format!("_{port}"));
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        // Of a listener with a full backlog, this is an error, and does not wait.
        connect(socket.as_raw_fd(), &UnixAddr::new(Path::new(&path))?)?;
        Ok(UnixStream::from(socket))
    }

    fn watch(
        &mut self,
        stream: &UnixStream,
        token: u64,
        from: Interest,
        to: Interest,
    ) -> io::Result<()> {
        let (nothing, flags) = (Interest::default(), flags(to));
        let mut event = EpollEvent::new(flags, token);
        // A stream that is watched for nothing would still report that it was hung up, again and again.
        match (from == nothing, to == nothing) {
            (true, true) => {}
            (true, false) => self.epoll.add(stream, event)?,
            (false, false) => self.epoll.modify(stream, &mut event)?,
            (false, true) => self.epoll.delete(stream)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn root_follows_no_link_to_the_directory_of_a_users_sockets() {
        let all = tempfile::tempdir().unwrap();
        let [ours, other] = ["ours", "other"].map(|name| all.path().join(name));
        std::fs::create_dir(&other).unwrap();
        symlink(&other, &ours).unwrap();
        directory_of(&ours.join("s"), Links::Followed).unwrap();
        let error = directory_of(&ours.join("s"), Links::Refused).unwrap_err();
        assert!(error.to_string().contains("a symbolic link"), "{error}");
        // Anywhere on the way, and behind a `..`, which itself is a directory.
        std::fs::create_dir(other.join("within")).unwrap();
        let error = directory_of(&ours.join("within/s"), Links::Refused).unwrap_err();
        assert!(error.to_string().contains("a symbolic link"), "{error}");
        directory_of(&other.join("within/../within/s"), Links::Refused).unwrap();
        let error = directory_of(&other.join("none/s"), Links::Refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        std::fs::write(other.join("file"), "").unwrap();
        for links in [Links::Refused, Links::Followed] {
            let error = directory_of(&other.join("file/s"), links).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotADirectory);
        }
        let made = UnixSockets::listen(&ours.join("s"), ToHost::Connected);
        assert_eq!(made.is_err(), geteuid().is_root(), "{made:?}");
        assert_eq!(other.join("s").exists(), made.is_ok());
        // That of a name is not a user's.
        drop(made);
        UnixSockets::listen(&ours.join("s"), ToHost::Refused).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_socket_is_not_followed() {
        let all = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(all.path().join("other")).unwrap();
        symlink("other", all.path().join("s")).unwrap();
        let made = UnixSockets::listen(&all.path().join("s"), ToHost::Connected);
        assert!(matches!(made, Err(SocketError::Exists(_))), "{made:?}");
    }

    #[test]
    fn a_socket_that_somebody_listens_at_is_left_to_them_and_another_is_replaced() {
        let all = tempfile::tempdir().unwrap();
        let path = all.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        // Where too many wait for it already, too; nobody waits for that.
        for _ in 0..3 {
            let made = UnixSockets::listen(&path, ToHost::Connected);
            assert!(matches!(made, Err(SocketError::InUse(_))), "{made:?}");
        }
        drop(listener);
        UnixSockets::listen(&path, ToHost::Connected).unwrap();
    }

    #[test]
    fn of_several_that_find_a_socket_left_there_one_replaces_it() {
        let all = tempfile::tempdir().unwrap();
        let path = all.path().join("s");
        for _ in 0..50 {
            drop(UnixListener::bind(&path).unwrap());
            let made: Vec<_> = thread::scope(|scope| {
                let listen = || UnixSockets::listen(&path, ToHost::Refused);
                let all: Vec<_> = (0..4).map(|_| scope.spawn(listen)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
            let in_use = |made: &Result<_, _>| matches!(made, Err(SocketError::InUse(_)));
            assert_eq!(made.iter().filter(|made| in_use(made)).count(), 3);
            assert!(UnixStream::connect(&path).is_ok());
            drop(made);
            std::fs::remove_file(&path).ok();
        }
    }

    #[test]
    fn a_directory_that_is_exchanged_meanwhile_gets_nothing() {
        let all = tempfile::tempdir().unwrap();
        let [ours, moved, other] = ["ours", "moved", "other"].map(|name| all.path().join(name));
        std::fs::create_dir(&ours).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("s"), "a file").unwrap();
        let (_directory, there) = directory_of(&ours.join("s"), Links::Refused).unwrap();
        std::fs::rename(&ours, &moved).unwrap();
        symlink(&other, &ours).unwrap();
        let _listener = bind(&there).unwrap();
        assert_eq!(std::fs::read_to_string(other.join("s")).unwrap(), "a file");
        let made: Vec<_> = std::fs::read_dir(&moved).unwrap().collect();
        assert_eq!(made.len(), 1, "{made:?}");
        let socket = moved.join("s").symlink_metadata().unwrap();
        assert!(socket.file_type().is_socket());
        assert_eq!(socket.permissions().mode() & 0o7777, 0o600);
        assert!(UnixStream::connect(moved.join("s")).is_ok());
    }
}
